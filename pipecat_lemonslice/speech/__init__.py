"""The bot's speech on its way to its listener: its order, its place on the avatar's track, the end of each response.

Knows frames and positions on a track; refuses to know sessions, HTTP and Pipecat's processors.
"""
