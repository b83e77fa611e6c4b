/**
 * Owns the audio context: a silent track to call with when there is no microphone, and meters.
 *
 * The context is made in a click (browsers keep one silent that was not asked for). Loudness is the root mean
 * square of the newest 2048 samples, 0 to 1; speech is mostly between 0.02 and 0.3.
 */

let context = null;

/** Call it from a click or a key press. */
export function wakeAudio() {
  context ??= new AudioContext({ latencyHint: "interactive" });
  if (context.state === "suspended") context.resume().catch(() => undefined);
  return context;
}

/**
 * A track that is always there and always silent, so that audio goes both ways. A destination that nothing feeds
 * sends no packets at all, hence a source of zeros.
 */
export function silentTrack() {
  const audio = wakeAudio();
  const zeros = new ConstantSourceNode(audio, { offset: 0 });
  const destination = audio.createMediaStreamDestination();
  zeros.connect(destination);
  zeros.start();
  return destination.stream.getAudioTracks()[0];
}

/** How loud one track is, now. */
export class Meter {
  #source = null;
  #analyser = null;
  #samples = new Float32Array(2048);

  /** Measures this track from now on; null: nothing. */
  listen(track) {
    this.#source?.disconnect();
    this.#source = null;
    if (!track) return;
    const audio = wakeAudio();
    this.#analyser ??= new AnalyserNode(audio, { fftSize: 2048, smoothingTimeConstant: 0 });
    this.#source = audio.createMediaStreamSource(new MediaStream([track]));
    this.#source.connect(this.#analyser);
  }

  /** Root mean square, 0 to 1; 0 while there is nothing to measure. */
  level() {
    if (!this.#source) return 0;
    this.#analyser.getFloatTimeDomainData(this.#samples);
    let sum = 0;
    for (const sample of this.#samples) sum += sample * sample;
    return Math.sqrt(sum / this.#samples.length);
  }
}

/** Loudness as a share of a meter's scale, 0 to 1: ears are logarithmic. */
export function share(level) {
  return level <= 0.003 ? 0 : Math.min(1, Math.max(0, 1 + Math.log10(level / 0.25) / 1.9));
}
