"""The losses that spa ships; each turns log-probabilities of pairs into one loss a pair."""
