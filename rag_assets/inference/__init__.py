"""Models: vLLM engines of this process, OpenAI-compatible endpoints, and the chat with either.

a name → ``model_files`` (what is on disk, without loading it) → ``engine`` or ``endpoint`` → for chat models
``open_chat`` → a reply of the wanted form, or why there is none.

Knows models and their replies; not what they are asked, nor what becomes of it.
"""
