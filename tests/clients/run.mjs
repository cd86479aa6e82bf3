// Drives the clients that applications use against a running server.
//
//   node run.mjs <GraphQL URL>
//
// The test that starts it plays the database: a line {"sql": …} on standard
// output is run there and answered by a line on standard input. It also mints
// the tokens: {"token": {seconds, tenant, user}} is answered by one. At the end
// stands {"passed": n}; the first failure ends the process with a stack.
import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import { ApolloClient, HttpLink, InMemoryCache, gql, split } from "@apollo/client";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { getMainDefinition } from "@apollo/client/utilities";
import { Client as UrqlClient, fetchExchange, subscriptionExchange } from "@urql/core";
import { buildClientSchema, getIntrospectionQuery, parse, validate, validateSchema } from "graphql";
import { createClient as createSseClient } from "graphql-sse";
import { createClient } from "graphql-ws";
import { SubscriptionClient } from "subscriptions-transport-ws";
import WebSocket from "ws";

// As in a browser and in newer versions of Node.
globalThis.WebSocket ??= WebSocket;

const http = process.argv[2];
const url = http.replace(/^http/, "ws");

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
async function ask(question) {
  console.log(JSON.stringify(question));
  return (await lines.next()).value;
}
const sql = (text) => ask({ sql: text });
const token = (seconds = 3600, tenant = "a", user = "1") => ask({ token: { seconds, tenant, user } });
const bearer = async (...claims) => `Bearer ${await token(...claims)}`;
const headers = async (...claims) => ({ headers: { Authorization: await bearer(...claims) } });

const NOTES = "subscription { notes(order_by: {id: asc}) { body } }";
const QUERY = "query Notes { notes(order_by: {id: asc}) { body } }";
const state = (...bodies) => ({ notes: bodies.map((body) => ({ body })) });
const reset = () => sql("delete from notes where id > 2; update notes set body = 'of ' || tenant_id");

/** What a client has told: waits for the next value, error or end. */
function sink() {
  const told = [];
  let wake = () => {};
  const tell = (kind) => (value) => {
    told.push([kind, value]);
    wake();
  };
  return {
    next: tell("next"),
    error: tell("error"),
    complete: tell("complete"),
    async take(kind) {
      while (told.length === 0) await new Promise((resolve) => (wake = resolve));
      const [found, value] = told.shift();
      assert.equal(found, kind, JSON.stringify(value));
      return value;
    },
  };
}

const plain = (value) => JSON.parse(JSON.stringify(value));

const runs = {
  async "graphql-ws: operations"() {
    const client = createClient({ url, webSocketImpl: WebSocket, connectionParams: () => headers() });
    const query = sink();
    client.subscribe({ query: QUERY, operationName: "Notes" }, query);
    assert.deepEqual(await query.take("next"), { data: state("of a") });
    await query.take("complete");

    const wrong = sink();
    client.subscribe({ query: "{ nots { body } }" }, wrong);
    const [error] = await wrong.take("error");
    assert.equal(error.extensions.code, "validation-failed");

    const live = sink();
    const stop = client.subscribe({ query: NOTES }, live);
    assert.deepEqual(await live.take("next"), { data: state("of a") });
    await sql("insert into notes values (3, 'a', 'more'), (4, 'b', 'foreign')");
    assert.deepEqual(await live.take("next"), { data: state("of a", "more") });
    stop();
    await live.take("complete");

    const states = client.iterate({ query: NOTES });
    assert.deepEqual((await states.next()).value, { data: state("of a", "more") });
    await states.return();
    await client.dispose();
  },

  async "graphql-ws: a rejected caller"() {
    const client = createClient({
      url,
      webSocketImpl: WebSocket,
      retryAttempts: 0,
      connectionParams: { headers: { Authorization: "Bearer nobody" } },
    });
    const query = sink();
    client.subscribe({ query: QUERY }, query);
    assert.equal((await query.take("error")).code, 4403);
  },

  async "graphql-ws: a token that ends is asked for anew"() {
    let connections = 0;
    const closed = [];
    const client = createClient({
      url,
      webSocketImpl: WebSocket,
      retryWait: async () => {},
      connectionParams: () => headers(connections++ === 0 ? 4 : 3600),
      on: { closed: (event) => closed.push(event.code) },
    });
    const live = sink();
    client.subscribe({ query: NOTES }, live);
    assert.deepEqual(await live.take("next"), { data: state("of a") });
    // The first state of the second connection.
    assert.deepEqual(await live.take("next"), { data: state("of a") });
    await sql("update notes set body = 'later' where id = 1");
    assert.deepEqual(await live.take("next"), { data: state("later") });
    assert.deepEqual([connections, closed], [2, [4403]]);
    await client.dispose();
  },

  async "graphql-ws: a new token on the open socket"() {
    let connections = 0;
    let socket;
    const pongs = sink();
    const client = createClient({
      url,
      webSocketImpl: WebSocket,
      connectionParams: () => headers(connections++ === 0 ? 5 : 3600),
      on: {
        connected: (connected) => (socket = connected),
        pong: (received, payload) => received && pongs.next(payload),
      },
    });
    const live = sink();
    client.subscribe({ query: NOTES }, live);
    assert.deepEqual(await live.take("next"), { data: state("of a") });
    socket.send(JSON.stringify({ type: "ping", payload: await headers() }));
    assert.equal((await pongs.take("next")).session.role, "user");
    await new Promise((resolve) => setTimeout(resolve, 6000));
    await sql("update notes set body = 'same socket' where id = 1");
    assert.deepEqual(await live.take("next"), { data: state("same socket") });
    assert.equal(connections, 1);
    await client.dispose();
  },

  async "subscriptions-transport-ws"() {
    const events = sink();
    const client = new SubscriptionClient(
      url,
      {
        reconnect: true,
        connectionParams: () => headers(),
        connectionCallback: (error) => (error ? events.error(error) : events.next("connected")),
      },
      WebSocket,
    );
    assert.equal(await events.take("next"), "connected");
    const query = sink();
    client.request({ query: QUERY, operationName: "Notes" }).subscribe(query);
    assert.deepEqual(await query.take("next"), { data: state("of a") });
    await query.take("complete");

    const wrong = sink();
    client.request({ query: "{ nots { body } }" }).subscribe(wrong);
    assert.match((await wrong.take("error")).message, /"nots" not found/);

    const live = sink();
    const subscription = client.request({ query: NOTES }).subscribe(live);
    assert.deepEqual(await live.take("next"), { data: state("of a") });
    await sql("update notes set body = 'changed' where id = 1");
    assert.deepEqual(await live.take("next"), { data: state("changed") });
    subscription.unsubscribe();
    client.close();

    const rejected = sink();
    const nobody = new SubscriptionClient(
      url,
      {
        connectionParams: { headers: { Authorization: "Bearer nobody" } },
        connectionCallback: (error) => rejected.next(error),
      },
      WebSocket,
    );
    assert.match(await rejected.take("next"), /Could not verify JWT/);
    nobody.close();
  },

  async "Apollo Client"() {
    const authorization = await bearer();
    const socket = createClient({ url, webSocketImpl: WebSocket, connectionParams: () => headers() });
    const isLive = ({ query }) => getMainDefinition(query).operation === "subscription";
    const client = new ApolloClient({
      cache: new InMemoryCache(),
      link: split(isLive, new GraphQLWsLink(socket), new HttpLink({ uri: http, headers: { authorization } })),
    });
    const bodies = (data) => data.notes.map((note) => note.body);
    const { data } = await client.query({ query: gql(QUERY) });
    assert.deepEqual(bodies(data), ["of a"]);

    const live = sink();
    const subscription = client.subscribe({ query: gql(NOTES) }).subscribe(live);
    assert.deepEqual(bodies((await live.take("next")).data), ["of a"]);
    await sql("update notes set body = 'changed' where id = 1");
    assert.deepEqual(bodies((await live.take("next")).data), ["changed"]);
    subscription.unsubscribe();

    const wrong = sink();
    client.subscribe({ query: gql("subscription { nots { body } }") }).subscribe(wrong);
    const { error } = await wrong.take("next");
    assert.match(error.message, /"nots" not found/);
    client.stop();
    await socket.dispose();
  },

  async "urql"() {
    const authorization = await bearer();
    const socket = createClient({ url, webSocketImpl: WebSocket, connectionParams: () => headers() });
    const overSocket = subscriptionExchange({
      forwardSubscription: ({ query, variables }) => ({
        subscribe: (observer) => ({ unsubscribe: socket.subscribe({ query: query ?? "", variables }, observer) }),
      }),
    });
    // Without a socket, its subscriptions come as an event stream.
    for (const exchanges of [[overSocket, fetchExchange], [fetchExchange]]) {
      await reset();
      const client = new UrqlClient({
        url: http,
        exchanges,
        fetchSubscriptions: exchanges.length === 1,
        preferGetMethod: false,
        fetchOptions: { headers: { authorization } },
      });
      const { data } = await client.query(QUERY, {}).toPromise();
      assert.deepEqual(data.notes.map(({ body }) => body), ["of a"]);
      const live = sink();
      const { unsubscribe } = client.subscription(NOTES, {}).subscribe(live.next);
      const bodies = async () => (await live.take("next")).data.notes.map(({ body }) => body);
      assert.deepEqual(await bodies(), ["of a"]);
      await sql("insert into notes values (3, 'a', 'more')");
      assert.deepEqual(await bodies(), ["of a", "more"]);
      unsubscribe();
    }
    await socket.dispose();
  },

  async "graphql-sse"() {
    const client = createSseClient({ url: http, headers: async () => ({ Authorization: await bearer() }) });
    const query = sink();
    client.subscribe({ query: QUERY }, query);
    assert.deepEqual(await query.take("next"), { data: state("of a") });
    await query.take("complete");
    const wrong = sink();
    client.subscribe({ query: "subscription { nots { body } }" }, wrong);
    assert.equal(plain(await wrong.take("next")).errors[0].extensions.code, "validation-failed");
    await wrong.take("complete");
    const live = sink();
    const stop = client.subscribe({ query: NOTES }, live);
    assert.deepEqual(await live.take("next"), { data: state("of a") });
    await sql("insert into notes values (3, 'a', 'more'), (4, 'b', 'foreign')");
    assert.deepEqual(await live.take("next"), { data: state("of a", "more") });
    stop();
    client.dispose();
  },

  async "graphql-js: the schema that introspection tells"() {
    const query = getIntrospectionQuery({
      descriptions: true,
      specifiedByUrl: true,
      directiveIsRepeatable: true,
      schemaDescription: true,
      inputValueDeprecation: true,
      oneOf: true,
    });
    const answer = await fetch(http, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: await bearer() },
      body: JSON.stringify({ query }),
    });
    const { data, errors } = await answer.json();
    assert.equal(errors, undefined);
    const schema = buildClientSchema(data);
    assert.deepEqual(validateSchema(schema), []);
    assert.deepEqual(validate(schema, parse(QUERY)), []);
    assert.deepEqual(validate(schema, parse(`query Q @cached(ttl: 5) ${NOTES.slice(12)}`)), []);
    assert.equal(validate(schema, parse("{ nots { body } }")).length, 1);
    const cached = schema.getDirective("cached").args.map((arg) => [arg.name, arg.defaultValue]);
    assert.deepEqual(cached, [["refresh", false], ["ttl", 60]]);
  },
};

let passed = 0;
for (const [name, run] of Object.entries(runs)) {
  console.log(JSON.stringify({ run: name }));
  await reset();
  await run();
  passed++;
}
console.log(JSON.stringify({ passed }));
process.exit(0);
