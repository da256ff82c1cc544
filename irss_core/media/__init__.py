"""Pictures and clips: files to arrays and back, without losing what the user handed in.

``images`` reads and writes stills, ``video`` streams clips. Both check a file's header against the limits before they
decode anything, choose the decoder by content (never by suffix), and write atomically. Nothing here knows of models,
jobs or the web.
"""
