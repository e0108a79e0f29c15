"""The loop dialect: loop nests, buffers, kernel calls and the host program."""
