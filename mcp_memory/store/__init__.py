"""Where memories are kept. `base` is the contract; each folder beside it is one way to keep it."""
