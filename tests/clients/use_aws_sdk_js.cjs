// The AWS SDK for JavaScript as a client, on HTTP/1.1: its default for Bedrock Runtime is HTTP/2.
'use strict';

const assert = require('node:assert');
const { readFileSync } = require('node:fs');
const path = require('node:path');
const {
  BedrockRuntimeClient,
  ConverseCommand,
  ConverseStreamCommand,
  InvokeModelCommand,
  ThrottlingException,
} = require('@aws-sdk/client-bedrock-runtime');
const { NodeHttpHandler } = require('@smithy/node-http-handler');

const said = JSON.parse(process.env.CONVERSATION);
const client = new BedrockRuntimeClient({ requestHandler: new NodeHttpHandler(), maxAttempts: 1 });
const toolSpec = { name: said.TOOL, description: said.TOOL_DESCRIPTION, inputSchema: { json: said.TOOL_SCHEMA } };
const toolConfig = { tools: [{ toolSpec }] };
const user = (...content) => ({ role: 'user', content });
const converse = (messages, more = {}) =>
  client.send(new ConverseCommand({ modelId: said.MODEL, messages, ...more }));

const checks = {
  async plain() {
    const response = await converse([user({ text: said.QUESTION })]);
    assert.deepStrictEqual(response.output.message.content, [{ text: said.ANSWER }]);
    assert(response.usage.totalTokens > 0);
  },
  async stream() {
    const command = new ConverseStreamCommand({ modelId: said.MODEL, messages: [user({ text: said.QUESTION })] });
    const pieces = [];
    for await (const event of (await client.send(command)).stream) {
      if (event.contentBlockDelta) pieces.push(event.contentBlockDelta.delta.text);
    }
    assert.strictEqual(pieces.join(''), said.ANSWER);
    assert(pieces.length > 1);
  },
  async tool() {
    const question = user({ text: said.TOOL_QUESTION });
    const asked = (await converse([question], { toolConfig })).output.message;
    const call = asked.content[0].toolUse;
    assert.deepStrictEqual([call.name, call.input], [said.TOOL, said.TOOL_INPUT]);
    const toolResult = { toolUseId: call.toolUseId, content: [{ text: said.TOOL_RESULT }] };
    const told = await converse([question, asked, user({ toolResult })], { toolConfig });
    assert.deepStrictEqual(told.output.message.content, [{ text: said.TOOL_ANSWER }]);
  },
  async throttled() {
    await assert.rejects(converse([user({ text: said.TOO_MUCH })]), ThrottlingException);
  },
  async http2() {
    const onHttp2 = new BedrockRuntimeClient({ maxAttempts: 1 });
    const command = new ConverseCommand({ modelId: said.MODEL, messages: [user({ text: said.QUESTION })] });
    // HTTP_1_1_REQUIRED: refused at once, and not after a timeout.
    await assert.rejects(onHttp2.send(command), /error code 13/);
    onHttp2.destroy();
  },
  async invoke() {
    const messages = [{ role: 'user', content: said.QUESTION }];
    const body = JSON.stringify({ anthropic_version: 'bedrock-2023-05-31', max_tokens: 100, messages });
    const response = await client.send(new InvokeModelCommand({ modelId: said.CLAUDE, body }));
    const message = JSON.parse(new TextDecoder().decode(response.body));
    assert.deepStrictEqual(message.content, [{ type: 'text', text: said.ANSWER }]);
  },
};

async function main() {
  const came = {};
  for (const [name, check] of Object.entries(checks)) {
    try {
      await check();
      came[name] = '';
    } catch (error) {
      came[name] = String(error && error.stack);
    }
  }
  const place = path.join(process.env.NODE_PATH, '@aws-sdk/client-bedrock-runtime/package.json');
  console.log(`\n${JSON.stringify({ version: JSON.parse(readFileSync(place)).version, came })}`);
}

main();
