// What tests/examples/test_javascript_client.py wants to know of the client; prints one line of JSON.

import { Swarm, escapeToken } from "./client.mjs";

const PROTOS = ["envelope.proto", "quotes.proto", "far.proto", "strange.proto"];
const FAR = "tests.conformance.shared_messages";
const options = { servers: process.env.NATS_URL, protos: PROTOS };
const swarm = await Swarm.connect({ name: "shop", ...options });
const elsewhere = await Swarm.connect({ name: "no where", ...options });

const order = (key, sku = "tea", amount = 3) => swarm.ask("pricer", key, "quotes.Order", { sku, amount });
const errorOf = (promise) => promise.then(
  (answer) => ({ answer }),
  (error) => ({ name: error.name, type: error.type, text: error.message }),
);

/** The price of an order once it is another one, because what was told or published has arrived. */
async function nextPrice(last, amount, again = () => {}) {
  const end = Date.now() + 10_000;
  while (Date.now() < end) {
    again();
    const { price } = await order("eu", "tea", amount);
    if (price !== last) return price;
  }
  return "the price has not changed";
}

async function heardAnswer() {
  const heard = new Promise((resolve) => {
    const end = swarm.subscribe("quotes.*", (fields, about) => {
      end();
      resolve({ fields, about });
    });
  });
  await swarm.flush();
  await order("us", "milk", 2);
  return heard;
}

const results = {
  escaped: escapeToken("Zürich/1.*> %_-"),
  answer: await order("eu"),
  oddKey: await order("Zürich/1.*> %"),
  nothing: await swarm.ask("pricer", "eu", "quotes.Markup", { share: 0 }),
};
swarm.tell("pricer", "eu", "quotes.Markup", { share: 1 });
results.afterTell = await nextPrice(7.5, 3); // the ask may overtake it, by another node
await swarm.ask("pricer", "eu", "quotes.Markup", { share: 0 });
results.rejected = await errorOf(order("eu", "gold"));
results.unhandled = await errorOf(swarm.ask("pricer", "eu", "quotes.Quote", { sku: "tea" }));
results.unknownType = await errorOf(swarm.ask("pricer", "eu", "strange.Thing", { size: 1 }));
results.unknownKind = await errorOf(swarm.ask("nobody", "eu", "quotes.Order", { sku: "tea" }));
results.noSwarm = await errorOf(elsewhere.ask("pricer", "eu", "quotes.Order", { sku: "tea" }));
results.unknownField = await errorOf(swarm.ask("pricer", "eu", "quotes.Order", { skew: "tea" }));
results.crashed = await errorOf(swarm.ask("far", "a", `${FAR}.Crash`, { text: "out of paper" }));
const patience = { timeoutMs: 100 };
results.tooLate = await errorOf(swarm.ask("far", "b", `${FAR}.Hold`, { seconds: 0.5 }, patience));
results.heard = await heardAnswer();
const publish = () => swarm.publish("prices.tea", "quotes.Price", { sku: "tea", price: 100 });
results.afterPublishing = await nextPrice(2.5, 1, publish);

await swarm.close();
await elsewhere.close();
console.log(JSON.stringify(results));
