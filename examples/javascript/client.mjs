// A client of a Covey swarm in JavaScript, written from docs/wire.md. It is a plain NATS client and no node:
// it hosts nothing, and the swarm does not know of it.

import { connect, ErrorCode } from "nats";
import protobuf from "protobufjs";

const TIMEOUT_MS = 5000;
const GRACE_MS = 500; // the node answers at the deadline, and its answer takes a moment to come
const EMPTY = "google.protobuf.Empty"; // what None travels as

/** Why there is no answer; `type` is the name of the error in Python, such as NoHostError. */
export class CoveyError extends Error {
  constructor(type, text, traceback = "") {
    super(text);
    this.name = this.type = type;
    this.traceback = traceback;
  }
}

/**
 * Talks to the agents of one swarm.
 *
 * Messages are plain objects with the field names of their .proto. What comes in has all fields; enums are
 * names in it, 64-bit integers are text (JavaScript's numbers would round them), bytes are Uint8Arrays.
 */
export class Swarm {
  #nats;
  #prefix;
  #types;
  #envelope;
  #failure;
  #lastId = 0;

  /**
   * Connects to the swarm `name`. `protos` are the .proto files of its messages, and envelope.proto. All other
   * options go to the package `nats`: servers, user, pass, token, authenticator, inboxPrefix, tls.
   */
  static async connect({ name = "covey", protos, ...options }) {
    const types = await new protobuf.Root().load(protos, { keepCase: true });
    return new Swarm(name, types, await connect(options));
  }

  constructor(name, types, nats) {
    this.#nats = nats;
    this.#prefix = `covey.${escapeToken(name)}`;
    this.#types = types;
    this.#envelope = types.lookupType("covey.v1.Envelope");
    this.#failure = types.lookupType("covey.v1.Failure");
  }

  /**
   * Asks the agent `kind/key` and waits for its answer; null where the agent answers nothing.
   *
   * Throws a CoveyError with what went wrong in the agent or on the way to it.
   */
  async ask(kind, key, type, fields = {}, { timeoutMs = TIMEOUT_MS } = {}) {
    const id = ++this.#lastId;
    const request = this.#seal({ ...this.#pack(type, fields), message_id: id, remaining_ms: timeoutMs });
    const answer = this.#open(await this.#request(kind, key, request, timeoutMs));
    if (answer.kind !== "FAILURE") return this.#unpack(answer);
    const failure = this.#failure.decode(answer.payload);
    throw new CoveyError(failure.type, failure.message, failure.traceback);
  }

  /** Sends a message to the agent `kind/key`. Nobody says whether it has arrived. */
  tell(kind, key, type, fields = {}) {
    this.#nats.publish(this.#agent(kind, key), this.#seal(this.#pack(type, fields)));
  }

  /** Publishes a message on a topic, such as `prices.tea`. */
  publish(topic, type, fields = {}) {
    this.#nats.publish(this.#topic(topic), this.#seal(this.#pack(type, fields)));
  }

  /**
   * Calls `heard(fields, { type, topic, sender })` with whatever is published on matching topics: in a pattern
   * `*` stands for one part, a final `>` for one or more. What cannot be read goes to `failed(error)` instead.
   * Returns a function that ends it.
   */
  subscribe(pattern, heard, failed = console.warn) {
    const subscription = this.#nats.subscribe(this.#topic(pattern), {
      callback: (refused, message) => {
        if (refused) return failed(refused);
        try {
          const { type, sender, payload } = this.#open(message.data);
          const fields = this.#unpack({ type, payload });
          heard(fields, { type, sender, topic: this.#topicOf(message.subject) });
        } catch (error) {
          failed(error);
        }
      },
    });
    return () => subscription.unsubscribe();
  }

  /** Waits until the server has all that was told, published and subscribed to. */
  async flush() {
    await this.#nats.flush();
  }

  /** Sends what is left, and disconnects. */
  async close() {
    await this.#nats.drain();
  }

  async #request(kind, key, request, timeoutMs) {
    try {
      const options = { timeout: timeoutMs + GRACE_MS };
      return (await this.#nats.request(this.#agent(kind, key), request, options)).data;
    } catch (error) {
      if (error.code === ErrorCode.NoResponders) {
        throw new CoveyError("NoHostError", `no node takes requests on ${this.#prefix}.agent.*.*`);
      }
      if (error.code === ErrorCode.Timeout) {
        throw new CoveyError("AskTimeoutError", `no reply from ${kind}/${key} within ${timeoutMs} ms`);
      }
      throw error;
    }
  }

  #agent(kind, key) {
    return `${this.#prefix}.agent.${kind}.${escapeToken(key)}`;
  }

  #topic(pattern) {
    const parts = pattern.split(".").map((part) => (part === "*" || part === ">" ? part : escapeToken(part)));
    return `${this.#prefix}.topic.${parts.join(".")}`;
  }

  #topicOf(subject) {
    const parts = subject.slice(`${this.#prefix}.topic.`.length).split(".");
    return parts.map(decodeURIComponent).join("."); // the inverse of escapeToken
  }

  #pack(type, fields) {
    const known = this.#types.lookupType(type);
    const strange = Object.keys(fields).filter((name) => !(name in known.fields));
    if (strange.length) throw new TypeError(`${type} has no field ${strange.join(", ")}`);
    return { type, payload: known.encode(known.fromObject(fields)).finish() };
  }

  #unpack({ type, payload }) {
    if (type === EMPTY) return null;
    const known = this.#types.lookupType(type);
    return known.toObject(known.decode(payload), { defaults: true, enums: String, longs: String });
  }

  #seal(envelope) {
    return this.#envelope.encode(this.#envelope.fromObject(envelope)).finish();
  }

  #open(bytes) {
    return this.#envelope.toObject(this.#envelope.decode(bytes), { defaults: true, enums: String });
  }
}

/** Any text as one token of a subject: each byte of its UTF-8 outside [A-Za-z0-9_-] becomes %XX. */
export function escapeToken(text) {
  const bytes = Array.from(new TextEncoder().encode(text));
  return bytes.map((byte) => (isPlain(byte) ? String.fromCharCode(byte) : percent(byte))).join("");
}

const isPlain = (byte) => byte < 0x80 && /[A-Za-z0-9_-]/.test(String.fromCharCode(byte));
const percent = (byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
