// What a team writes by hand in an afternoon, for comparison: JSON lines on a Unix socket, passed on round
// robin to child processes by their stdin and stdout, each call with an id of its own and a timeout.
//
//   node bridge.js SOCKET WORKERS COMMAND [ARG...]
'use strict';
const { spawn } = require('node:child_process');
const net = require('node:net');
const readline = require('node:readline');

const [path, count, command, ...args] = process.argv.slice(2);
const TIMEOUT_MS = 60_000;
const pending = new Map();
let nextId = 1;
let nextWorker = 0;

function startWorker() {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  child.on('exit', (code) => process.exit(code ?? 1));
  readline.createInterface({ input: child.stdout }).on('line', (line) => {
    const message = JSON.parse(line);
    const call = pending.get(message.id ?? message.params?.request_id);
    if (!call) return;
    if (message.method === 'stream_chunk') {
      message.params.request_id = call.id;
      call.socket.write(JSON.stringify(message) + '\n');
      return;
    }
    pending.delete(message.id);
    clearTimeout(call.timer);
    call.socket.write(JSON.stringify({ ...message, id: call.id }) + '\n');
  });
  return child;
}

function fail(socket, id, code, message) {
  socket.write(JSON.stringify({ jsonrpc: '2.0', id, error: { code, message } }) + '\n');
}

function receive(socket, line) {
  let message;
  try {
    message = JSON.parse(line);
  } catch {
    return fail(socket, null, -32700, 'Parse error');
  }
  const id = nextId++;
  const timer = setTimeout(() => {
    pending.delete(id);
    fail(socket, message.id, 1002, 'Timeout');
  }, TIMEOUT_MS);
  pending.set(id, { socket, id: message.id, timer });
  const worker = workers[nextWorker];
  nextWorker = (nextWorker + 1) % workers.length;
  worker.stdin.write(JSON.stringify({ ...message, id }) + '\n');
}

const workers = Array.from({ length: Number(count) }, startWorker);
net.createServer((socket) => {
  socket.on('error', () => socket.destroy());
  readline.createInterface({ input: socket }).on('line', (line) => receive(socket, line));
}).listen(path);
