"""The commands: one file and one dataclass each, whose fields are the command's options."""
