const KEY = Buffer.alloc(16).toString('base64');

export function upgradeRequestOf(path: string): string {
  const lines = ['Host: localhost', 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13'];
  return `GET ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\nSec-WebSocket-Key: ${KEY}\r\n\r\n`;
}

/** A text frame of a client: masked, as it has to be, with zeros. For texts of less than 126 bytes. */
function textFrame(text: string): Buffer {
  return Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0, ...Buffer.from(text)]);
}

/** What a client of socket.io says first: a message (4) that connects it (0) to the main namespace. */
export const CONNECT = textFrame('40');
