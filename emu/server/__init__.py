"""What a machine's thread serves besides the CPU, all of it in one event loop (loop.py) and none of it waited for.

The control socket: control.py speaks it, commands.py is the table of what can be said, client.py its other side. The display protocol (frontends/protocol.py has its
messages): listening.py where clients come from, display.py what all of them share, viewer.py one of them; video.py, shared_line.py and remote_image.py are its picture,
serial ports and media. Under both: sockets.py, stream.py; typist.py types for both.
"""
