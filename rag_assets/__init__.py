"""CI/CD for a RAG index."""
