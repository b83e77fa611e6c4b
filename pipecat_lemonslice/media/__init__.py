"""The avatar's voice and picture on their way to the user, and how far the avatar has been heard.

Knows sound, silence and pictures; refuses to know sessions, rooms' participants, and the text of speech.
"""
