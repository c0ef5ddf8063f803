"""What is heard, by SDL's audio queue."""
import sdl2

LATENCY = 0.25  # seconds that may wait; more are left out, or the sound would lag behind the picture


class Sound:
    """Nothing is heard where the host has no sound."""

    def __init__(self) -> None:
        self.device = 0
        self.most = 0

    def format(self, rate: int, channels: int, format: int) -> None:
        """FORMAT."""
        if format != 1 or self.device or sdl2.SDL_InitSubSystem(sdl2.SDL_INIT_AUDIO): return
        wanted = sdl2.SDL_AudioSpec(rate, sdl2.AUDIO_S16LSB, channels, 1024)
        self.device = sdl2.SDL_OpenAudioDevice(None, 0, wanted, None, 0)
        self.most = int(rate * LATENCY) * 2 * channels
        if self.device: sdl2.SDL_PauseAudioDevice(self.device, 0)

    def play(self, samples: bytes) -> None:
        """SAMPLES."""
        if self.device and sdl2.SDL_GetQueuedAudioSize(self.device) < self.most: sdl2.SDL_QueueAudio(self.device, samples, len(samples))
