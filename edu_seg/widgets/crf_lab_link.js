// CRFLab's questions to Python. One at a time: what changes meanwhile is sent together, once the answer has come, so none is computed in vain.
// An answer holds no probabilities: these are asked for in a pause, so that no change has to wait behind so much.
const PATIENCE = 8000; // milliseconds
const PAUSE = 150;
const TIMES_KEPT = 200;

export class Link {
  // current(): what is to be sent; taken(isAhead): an answer has come, isAhead: the reader has changed more since; silent(): none has come;
  // timed(times): milliseconds that each took, up to the last; lacks(): whether the answer's probabilities are missing.
  constructor(model, { current, taken, silent, timed, lacks }) {
    Object.assign(this, { model, current, taken, silent, timed, lacks, asked: model.get("asked"), waiting: false, since: null, times: [] });
    this.onAnswer = () => this.hear();
    model.on?.("change:answer", this.onAnswer);
  }

  // Only a page with a kernel can ask.
  get alive() {
    return typeof this.model.send === "function";
  }

  ask() {
    this.since ??= performance.now();
    if (!this.waiting) this.send();
  }

  send() {
    Object.assign(this, { waiting: true, asked: this.asked + 1, sentAt: this.since, since: null });
    Object.entries({ ...this.current(), asked: this.asked }).forEach(([name, value]) => this.model.set(name, value));
    this.model.save_changes();
    clearTimeout(this.patience);
    this.patience = setTimeout(() => { this.waiting = false; this.silent(); }, PATIENCE);
  }

  // Also when Python's side was changed by itself.
  hear() {
    const own = this.waiting && this.model.get("answer").asked === this.asked;
    if (own) {
      clearTimeout(this.patience);
      this.waiting = false;
    }
    this.taken(this.isBusy);
    if (own) this.time(this.sentAt);
    if (this.since !== null && !this.waiting) this.send();
    this.pause();
  }

  pause() {
    clearTimeout(this.pausing);
    this.pausing = setTimeout(() => this.complete(), PAUSE);
  }

  get isBusy() {
    return this.waiting || this.since !== null;
  }

  // The answer to what is asked meanwhile brings the next pause.
  complete() {
    if (this.isBusy || !this.alive || !this.lacks()) return;
    this.model.set("lacking", this.model.get("lacking") + 1);
    this.model.save_changes();
  }

  // From the change until the frame with its answer is out: a message posted at the end of a frame's drawing arrives after its painting.
  time(start) {
    requestAnimationFrame(() => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => {
        this.times = [...this.times, performance.now() - start].slice(-TIMES_KEPT);
        this.timed(this.times);
      };
      port2.postMessage("");
    });
  }

  end() {
    clearTimeout(this.patience);
    clearTimeout(this.pausing);
    this.model.off?.("change:answer", this.onAnswer);
  }
}
