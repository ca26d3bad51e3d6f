"""The command `flax-transformer`; `python -m flax_transformer` is the same."""

from flax_transformer.runtime.start import end_at_once_if_interrupted


def main() -> None:
    """Runs the command line of the process; Ctrl-C also ends its imports with one line."""
    end_at_once_if_interrupted()
    from flax_transformer.cli import main as run

    run()


if __name__ == "__main__":
    main()
