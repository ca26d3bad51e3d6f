"""Trained models as a service over HTTP (extra `serve`)."""
