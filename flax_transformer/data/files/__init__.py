"""Reading of files: lines of text, tables, images, films, folders."""
