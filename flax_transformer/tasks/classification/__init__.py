"""Classification of texts, images and videos."""
