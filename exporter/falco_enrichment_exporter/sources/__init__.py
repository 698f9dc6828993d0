"""The async rim on the input side: one kind of source a file."""
