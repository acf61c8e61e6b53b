// SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
//
// The JavaScript SDK v3 as its users call it: new checksums, trailers, streams, presigned URLs.
// Run by test_js.py with ENDPOINT, ACCESS_KEY, SECRET_KEY (and NODE_EXTRA_CA_CERTS for https).

import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import {
  AbortMultipartUploadCommand, CompleteMultipartUploadCommand, CopyObjectCommand, CreateBucketCommand,
  CreateMultipartUploadCommand, DeleteBucketCommand, DeleteObjectCommand, DeleteObjectsCommand, GetObjectCommand,
  HeadObjectCommand, ListObjectsV2Command, ListPartsCommand, PutObjectCommand, S3Client, UploadPartCommand,
} from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';

const { ENDPOINT, ACCESS_KEY, SECRET_KEY } = process.env;
const s3 = new S3Client({
  endpoint: ENDPOINT, region: 'us-east-1', forcePathStyle: true, maxAttempts: 1,
  credentials: { accessKeyId: ACCESS_KEY, secretAccessKey: SECRET_KEY },
});
const Bucket = 'js-' + randomBytes(6).toString('hex');

const body = async (reply) => Buffer.from(await reply.Body.transformToByteArray());
const pieces = (data, size) => Readable.from((function* () {
  for (let i = 0; i < data.length; i += size) yield data.subarray(i, i + size);
})());

before(() => s3.send(new CreateBucketCommand({ Bucket })));
after(async () => {
  const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket }));
  if (Contents.length)
    await s3.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects: Contents.map(({ Key }) => ({ Key })) } }));
  await s3.send(new DeleteBucketCommand({ Bucket }));
});

for (const algorithm of [undefined, 'CRC32', 'CRC32C', 'SHA1', 'SHA256']) {
  test(`put and get of a buffer with checksum ${algorithm ?? 'by default'}`, async () => {
    const Body = randomBytes(70000);
    const put = await s3.send(new PutObjectCommand({ Bucket, Key: 'buffer', Body, ChecksumAlgorithm: algorithm }));
    assert.equal(put.ETag, `"${createHash('md5').update(Body).digest('hex')}"`);
    const field = `Checksum${algorithm ?? 'CRC32'}`;
    assert.ok(put[field]);
    const got = await s3.send(new GetObjectCommand({ Bucket, Key: 'buffer', ChecksumMode: 'ENABLED' }));
    assert.equal(got[field], put[field]);
    assert.deepEqual(await body(got), Body);
  });
}

test('a stream of known length is sent with a trailer', async () => {
  const data = randomBytes(3 << 20);
  await s3.send(new PutObjectCommand({ Bucket, Key: 'stream', Body: pieces(data, 64 << 10), ContentLength: data.length }));
  assert.deepEqual(await body(await s3.send(new GetObjectCommand({ Bucket, Key: 'stream' }))), data);
});

test('content encoding is kept without aws-chunked', async () => {
  const data = randomBytes(20000);
  await s3.send(new PutObjectCommand({
    Bucket, Key: 'encoded', Body: pieces(data, 9000), ContentLength: data.length, ContentEncoding: 'gzip',
    ContentType: 'application/x-test', CacheControl: 'max-age=5', Metadata: { Some: 'Value', other: 'ünïcode' },
  }));
  const head = await s3.send(new HeadObjectCommand({ Bucket, Key: 'encoded' }));
  assert.equal(head.ContentEncoding, 'gzip');
  assert.equal(head.ContentType, 'application/x-test');
  assert.equal(head.CacheControl, 'max-age=5');
  assert.equal(head.Metadata.some, 'Value');
  assert.equal(head.ContentLength, 20000);
});

test('a managed multipart upload of a stream', async () => {
  const data = randomBytes(13 << 20);
  await new Upload({ client: s3, params: { Bucket, Key: 'upload', Body: pieces(data, 100000) }, partSize: 5 << 20 }).done();
  const got = await s3.send(new GetObjectCommand({ Bucket, Key: 'upload' }));
  assert.match(got.ETag, /-3"$/);
  assert.deepEqual(await body(got), data);
});

test('a multipart upload with composite and whole-object checksums', async () => {
  const parts = [randomBytes(5 << 20), randomBytes(1000)];
  for (const [algorithm, type] of [['SHA256', 'COMPOSITE'], ['CRC32', 'COMPOSITE'], ['CRC32', 'FULL_OBJECT']]) {
    const key = { Bucket, Key: 'parts' };
    const { UploadId } = await s3.send(new CreateMultipartUploadCommand({ ...key, ChecksumAlgorithm: algorithm, ChecksumType: type }));
    const done = [];
    for (const [i, Body] of parts.entries()) {
      const r = await s3.send(new UploadPartCommand({ ...key, UploadId, PartNumber: i + 1, Body, ChecksumAlgorithm: algorithm }));
      done.push({ PartNumber: i + 1, ETag: r.ETag, [`Checksum${algorithm}`]: r[`Checksum${algorithm}`] });
      assert.ok(r[`Checksum${algorithm}`]);
    }
    const listed = await s3.send(new ListPartsCommand({ ...key, UploadId }));
    assert.equal(listed.Parts.length, 2);
    const complete = await s3.send(new CompleteMultipartUploadCommand({ ...key, UploadId, MultipartUpload: { Parts: done } }));
    const sum = complete[`Checksum${algorithm}`];
    assert.equal(complete.ChecksumType, type);
    assert.equal(sum.endsWith('-2'), type === 'COMPOSITE');
    const head = await s3.send(new HeadObjectCommand({ ...key, ChecksumMode: 'ENABLED' }));
    assert.equal(head[`Checksum${algorithm}`], sum);
    assert.deepEqual(await body(await s3.send(new GetObjectCommand(key))), Buffer.concat(parts));
  }
});

test('an aborted upload is gone', async () => {
  const key = { Bucket, Key: 'aborted' };
  const { UploadId } = await s3.send(new CreateMultipartUploadCommand(key));
  await s3.send(new UploadPartCommand({ ...key, UploadId, PartNumber: 1, Body: 'x' }));
  await s3.send(new AbortMultipartUploadCommand({ ...key, UploadId }));
  await assert.rejects(s3.send(new ListPartsCommand({ ...key, UploadId })), { name: 'NoSuchUpload' });
});

test('conditional writes and reads', async () => {
  const key = { Bucket, Key: 'conditional' };
  await s3.send(new PutObjectCommand({ ...key, Body: '1', IfNoneMatch: '*' }));
  await assert.rejects(s3.send(new PutObjectCommand({ ...key, Body: '2', IfNoneMatch: '*' })), { name: 'PreconditionFailed' });
  const { ETag } = await s3.send(new HeadObjectCommand(key));
  await s3.send(new PutObjectCommand({ ...key, Body: '3', IfMatch: ETag }));
  await assert.rejects(s3.send(new PutObjectCommand({ ...key, Body: '4', IfMatch: ETag })), { name: 'PreconditionFailed' });
  assert.equal((await body(await s3.send(new GetObjectCommand(key)))).toString(), '3');
});

test('presigned get and put, the put with the checksum query that the SDK adds', async () => {
  const put = await getSignedUrl(s3, new PutObjectCommand({ Bucket, Key: 'presigned' }));
  const stored = await fetch(put, { method: 'PUT', body: 'by presigned url' });
  assert.equal(stored.status, 200, await stored.text());
  const get = await getSignedUrl(s3, new GetObjectCommand({ Bucket, Key: 'presigned', ResponseContentType: 'text/x-odd' }));
  const reply = await fetch(get);
  assert.equal(reply.headers.get('content-type'), 'text/x-odd');
  assert.equal(await reply.text(), 'by presigned url');
});

test('keys of every odd shape', async () => {
  const keys = ['a', 'a/', 'a/b', '../x', '//', 'x//y', 'sp ace', 'pl+us', 'per%2Fcent', 'emoji🪨', 'ünï', "q'\"<>&", 'tab\there'];
  for (const Key of keys)
    await s3.send(new PutObjectCommand({ Bucket, Key: 'odd/' + Key, Body: Key }));
  const { Contents } = await s3.send(new ListObjectsV2Command({ Bucket, Prefix: 'odd/', EncodingType: 'url' }));
  assert.equal(Contents.length, keys.length);
  for (const Key of keys) {
    assert.equal((await body(await s3.send(new GetObjectCommand({ Bucket, Key: 'odd/' + Key })))).toString(), Key);
    await s3.send(new CopyObjectCommand({ Bucket, Key: 'copy/' + Key, CopySource: `${Bucket}/${encodeURIComponent('odd/' + Key)}` }));
    await s3.send(new DeleteObjectCommand({ Bucket, Key: 'odd/' + Key }));
  }
});

test('a missing key and a missing bucket have their errors', async () => {
  await assert.rejects(s3.send(new GetObjectCommand({ Bucket, Key: 'missing' })), { name: 'NoSuchKey' });
  await assert.rejects(s3.send(new GetObjectCommand({ Bucket: Bucket + '-none', Key: 'x' })), { name: 'NoSuchBucket' });
  await assert.rejects(s3.send(new HeadObjectCommand({ Bucket, Key: 'missing' })), { name: 'NotFound' });
});
