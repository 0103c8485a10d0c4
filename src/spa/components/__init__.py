"""The default components, one folder a kind, registered through the same hooks as anyone's."""
