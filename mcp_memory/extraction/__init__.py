"""From a conversation to what a model is asked: reading it, taking recalled memories out, cutting it into chunks."""
