"""Shared: what all connections of one RedisPubSub object have in common."""

from dataclasses import asdict, dataclass, field

from pondsocket import Subscriptions
from pondsocket_redis.batch import Tally
from pondsocket_redis.outage import Outage

__all__ = ["Settings", "Shared"]


@dataclass(frozen=True, slots=True)
class Settings:
    """Seconds, all of them."""

    publish_timeout: float
    subscribe_timeout: float
    connect_timeout: float
    ping_interval: float
    ping_timeout: float

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not value > 0:
                raise ValueError(f"{name} must be above 0 seconds, got {value!r}")


@dataclass(slots=True)
class Shared:
    """What the lines of one object have in common."""

    subscriptions: Subscriptions
    settings: Settings
    outage: Outage = field(default_factory=Outage)
    tally: Tally = field(default_factory=Tally)
    globs: dict[bytes, str] = field(default_factory=dict)
    """Glob -> the pattern that it came from."""
    received: int = 0
    malformed: int = 0
