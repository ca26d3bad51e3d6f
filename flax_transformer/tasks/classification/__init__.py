"""Classification: texts, images and videos to classes."""
