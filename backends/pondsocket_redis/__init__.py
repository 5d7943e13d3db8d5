"""pondsocket_redis: several processes are one pond, over Redis or Valkey."""

from pondsocket_redis.pubsub import RedisPubSub, open_redis

__all__ = ["RedisPubSub", "open_redis"]
