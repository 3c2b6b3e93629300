"""Export and import: a module for each format, which reads or writes text. What comes in is decided by the service."""
