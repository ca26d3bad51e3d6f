"""Token tagging: from the words of a sentence to a tag for each of them."""
