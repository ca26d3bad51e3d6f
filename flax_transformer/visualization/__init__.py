"""Pictures: figures of matplotlib, made without a display and without any global state."""
