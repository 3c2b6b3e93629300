"""What turns texts into vectors: the table in the package, or an endpoint of the operator's choice."""
