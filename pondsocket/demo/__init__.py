"""The demonstration: a chat with rooms, and live numbers of the process that serves it.

It is an application like any other: it comes in by the front door and keeps its own
state. ``pondsocket demo`` serves it.
"""

from pondsocket.demo.app import Demo, build_demo

__all__ = ["Demo", "build_demo"]
