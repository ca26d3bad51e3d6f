"""Translators and language models as folders of CTranslate2, which runs them fast on CPUs."""
