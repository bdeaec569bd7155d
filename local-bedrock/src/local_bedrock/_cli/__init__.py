"""The command line: its arguments, the files that they name, and the lines that it prints."""
