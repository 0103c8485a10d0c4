"""Sides of benchmarks in processes of their own."""
