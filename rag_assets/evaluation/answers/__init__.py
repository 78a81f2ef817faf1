"""Answers to gold questions from what search found: what a reader of the index would be told.

question + contexts → prompt → generator (extractive, or a chat model) → answer with citations, or an abstention.
``stage`` answers what the store does not hold yet.

Knows texts and chunk ids; not the index, nor how answers are judged.
"""
