-- The ledger of sfumato 0.1.0 after `sfumato run` on the demo images with --method pixelate.
BEGIN TRANSACTION;
CREATE TABLE given (
            boxes TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (boxes, key)
        ) WITHOUT ROWID;
CREATE TABLE listing (key TEXT PRIMARY KEY, kind TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "listing" VALUES('animals/chelsea.png','picture');
INSERT INTO "listing" VALUES('people/astronaut.png','picture');
INSERT INTO "listing" VALUES('people/grace_hopper.jpg','picture');
INSERT INTO "listing" VALUES('things/coffee.png','picture');
CREATE TABLE records (
            seq INTEGER PRIMARY KEY,
            kind TEXT NOT NULL,
            fingerprint TEXT NOT NULL,
            key TEXT NOT NULL,
            body TEXT NOT NULL
        , run INTEGER NOT NULL DEFAULT 0);
INSERT INTO "records" VALUES(1,'detection','9099f04dd7b30e51993e2229df26b184501aa4b7e495f360715c5dce62a4e687','animals/chelsea.png','{"key":"animals/chelsea.png","digest":"596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb","width":451,"height":300,"faces":[],"candidates":[]}',1);
INSERT INTO "records" VALUES(2,'finding','dab64f1f2d8b497bd80a451d5a2f4626306f51f7881af41b1cb6d378121f0888','animals/chelsea.png','{"key":"animals/chelsea.png","code":"VERIFY_BYTES_CHANGED","passed":true,"value":0.0,"limit":0.0,"detail":"","digest":"596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb"}',1);
INSERT INTO "records" VALUES(3,'output','af2eacdb062d5134b6a15e5cecc1af1f0f11196a0ca2f6559138571ab5062db4','animals/chelsea.png','{"key":"animals/chelsea.png","digest":"596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb","written":"596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb","action":"copied","encoding":"identical","method":"","faces":[],"ghosts":[],"rejected":[]}',1);
INSERT INTO "records" VALUES(4,'detection','9099f04dd7b30e51993e2229df26b184501aa4b7e495f360715c5dce62a4e687','people/astronaut.png','{"key":"people/astronaut.png","digest":"88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5","width":512,"height":512,"faces":[{"box":[179.78939819335938,62.03788757324219,271.95745849609375,176.57571411132812],"score":0.9887914792852688,"origin":"finder-1","kind":"face"}],"candidates":[]}',1);
INSERT INTO "records" VALUES(5,'finding','dab64f1f2d8b497bd80a451d5a2f4626306f51f7881af41b1cb6d378121f0888','people/astronaut.png','{"key":"people/astronaut.png","code":"VERIFY_BYTES_CHANGED","passed":true,"value":0.0,"limit":0.0,"detail":"","digest":"13d1996dfa305131d029d5f98abc5ebcb01ab44da4d93707fdcf8d0f5782e305"}',1);
INSERT INTO "records" VALUES(6,'finding','dab64f1f2d8b497bd80a451d5a2f4626306f51f7881af41b1cb6d378121f0888','people/astronaut.png','{"key":"people/astronaut.png","code":"VERIFY_METADATA","passed":true,"value":0.0,"limit":0.0,"detail":"","digest":"13d1996dfa305131d029d5f98abc5ebcb01ab44da4d93707fdcf8d0f5782e305"}',1);
INSERT INTO "records" VALUES(7,'finding','dab64f1f2d8b497bd80a451d5a2f4626306f51f7881af41b1cb6d378121f0888','people/astronaut.png','{"key":"people/astronaut.png","code":"VERIFY_PIXELS_CHANGED","passed":true,"value":0.0,"limit":0.0,"detail":"","digest":"13d1996dfa305131d029d5f98abc5ebcb01ab44da4d93707fdcf8d0f5782e305"}',1);
INSERT INTO "records" VALUES(8,'finding','dab64f1f2d8b497bd80a451d5a2f4626306f51f7881af41b1cb6d378121f0888','people/astronaut.png','{"key":"people/astronaut.png","code":"VERIFY_STRENGTH","passed":true,"value":0.0005508852821249632,"limit":0.2,"detail":"","digest":"13d1996dfa305131d029d5f98abc5ebcb01ab44da4d93707fdcf8d0f5782e305"}',1);
INSERT INTO "records" VALUES(9,'finding','dab64f1f2d8b497bd80a451d5a2f4626306f51f7881af41b1cb6d378121f0888','people/astronaut.png','{"key":"people/astronaut.png","code":"VERIFY_FACE_FOUND","passed":true,"value":0.0,"limit":0.0,"detail":"","digest":"13d1996dfa305131d029d5f98abc5ebcb01ab44da4d93707fdcf8d0f5782e305"}',1);
INSERT INTO "records" VALUES(10,'output','af2eacdb062d5134b6a15e5cecc1af1f0f11196a0ca2f6559138571ab5062db4','people/astronaut.png','{"key":"people/astronaut.png","digest":"88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5","written":"13d1996dfa305131d029d5f98abc5ebcb01ab44da4d93707fdcf8d0f5782e305","action":"obfuscated","encoding":"exact","method":"pixelate","faces":[{"box":[179.78939819335938,62.03788757324219,271.95745849609375,176.57571411132812],"score":0.9887914792852688,"origin":"finder-1","kind":"face"}],"ghosts":[],"rejected":[]}',1);
INSERT INTO "records" VALUES(11,'detection','9099f04dd7b30e51993e2229df26b184501aa4b7e495f360715c5dce62a4e687','people/grace_hopper.jpg','{"key":"people/grace_hopper.jpg","digest":"a8ca6d734765703b09728ab47fe59f473d93ae3967fc24c7c0288c3c7adb7130","width":512,"height":600,"faces":[{"box":[177.9315185546875,110.62916564941406,362.15771484375,337.64825439453125],"score":0.986266818221871,"origin":"finder-1","kind":"face"}],"candidates":[]}',1);
INSERT INTO "records" VALUES(12,'finding','dab64f1f2d8b497bd80a451d5a2f4626306f51f7881af41b1cb6d378121f0888','people/grace_hopper.jpg','{"key":"people/grace_hopper.jpg","code":"VERIFY_BYTES_CHANGED","passed":true,"value":0.0,"limit":0.0,"detail":"","digest":"b27ab2931d3ff5219921a40f84d72c6f381c68074733c3b241057732f60656e7"}',1);
INSERT INTO "records" VALUES(13,'finding','dab64f1f2d8b497bd80a451d5a2f4626306f51f7881af41b1cb6d378121f0888','people/grace_hopper.jpg','{"key":"people/grace_hopper.jpg","code":"VERIFY_METADATA","passed":true,"value":0.0,"limit":0.0,"detail":"","digest":"b27ab2931d3ff5219921a40f84d72c6f381c68074733c3b241057732f60656e7"}',1);
INSERT INTO "records" VALUES(14,'finding','dab64f1f2d8b497bd80a451d5a2f4626306f51f7881af41b1cb6d378121f0888','people/grace_hopper.jpg','{"key":"people/grace_hopper.jpg","code":"VERIFY_PIXELS_CHANGED","passed":true,"value":0.0,"limit":0.0,"detail":"","digest":"b27ab2931d3ff5219921a40f84d72c6f381c68074733c3b241057732f60656e7"}',1);
INSERT INTO "records" VALUES(15,'finding','dab64f1f2d8b497bd80a451d5a2f4626306f51f7881af41b1cb6d378121f0888','people/grace_hopper.jpg','{"key":"people/grace_hopper.jpg","code":"VERIFY_STRENGTH","passed":true,"value":0.058085173198556175,"limit":0.2,"detail":"","digest":"b27ab2931d3ff5219921a40f84d72c6f381c68074733c3b241057732f60656e7"}',1);
INSERT INTO "records" VALUES(16,'finding','dab64f1f2d8b497bd80a451d5a2f4626306f51f7881af41b1cb6d378121f0888','people/grace_hopper.jpg','{"key":"people/grace_hopper.jpg","code":"VERIFY_FACE_FOUND","passed":true,"value":0.0,"limit":0.0,"detail":"","digest":"b27ab2931d3ff5219921a40f84d72c6f381c68074733c3b241057732f60656e7"}',1);
INSERT INTO "records" VALUES(17,'output','af2eacdb062d5134b6a15e5cecc1af1f0f11196a0ca2f6559138571ab5062db4','people/grace_hopper.jpg','{"key":"people/grace_hopper.jpg","digest":"a8ca6d734765703b09728ab47fe59f473d93ae3967fc24c7c0288c3c7adb7130","written":"b27ab2931d3ff5219921a40f84d72c6f381c68074733c3b241057732f60656e7","action":"obfuscated","encoding":"exact","method":"pixelate","faces":[{"box":[177.9315185546875,110.62916564941406,362.15771484375,337.64825439453125],"score":0.986266818221871,"origin":"finder-1","kind":"face"}],"ghosts":[],"rejected":[]}',1);
INSERT INTO "records" VALUES(18,'detection','9099f04dd7b30e51993e2229df26b184501aa4b7e495f360715c5dce62a4e687','things/coffee.png','{"key":"things/coffee.png","digest":"cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7","width":600,"height":400,"faces":[],"candidates":[]}',1);
INSERT INTO "records" VALUES(19,'finding','dab64f1f2d8b497bd80a451d5a2f4626306f51f7881af41b1cb6d378121f0888','things/coffee.png','{"key":"things/coffee.png","code":"VERIFY_BYTES_CHANGED","passed":true,"value":0.0,"limit":0.0,"detail":"","digest":"cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7"}',1);
INSERT INTO "records" VALUES(20,'output','af2eacdb062d5134b6a15e5cecc1af1f0f11196a0ca2f6559138571ab5062db4','things/coffee.png','{"key":"things/coffee.png","digest":"cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7","written":"cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7","action":"copied","encoding":"identical","method":"","faces":[],"ghosts":[],"rejected":[]}',1);
CREATE TABLE runs (
            seq INTEGER PRIMARY KEY, started TEXT NOT NULL, command TEXT NOT NULL,
            source TEXT NOT NULL, fingerprint TEXT NOT NULL, recipe TEXT NOT NULL,
            versions TEXT NOT NULL
        );
INSERT INTO "runs" VALUES(1,'2026-12-01T17:42:04Z','detect+obfuscate+verify','{source}','dab64f1f2d8b497bd80a451d5a2f4626306f51f7881af41b1cb6d378121f0888','{"detect": {"boxes": "", "detectors": ["finder@default:0.08"], "max_pixels": 178956970, "unlisted": "", "weights": ["a421d2d0d06552ca38cff6b8b3d2b25031ce71026a63572e56f674a7aea20476"]}, "obfuscate": {"colour": null, "expand": 0.25, "looks": 3, "metadata": "faces", "method": "pixelate", "on_unsupported": "refuse", "require_review": false}, "verify": {"detectors": ["finder@default:0.08"], "weights": ["a421d2d0d06552ca38cff6b8b3d2b25031ce71026a63572e56f674a7aea20476"]}}','{"sfumato": "0.1.0", "python": "3.11.7", "onnxruntime": "1.32.0", "numpy": "2.4.6", "pillow": "13.0.0", "pyarrow": "26.0.1"}');
CREATE TABLE shards (
            stage TEXT NOT NULL, fingerprint TEXT NOT NULL, id TEXT NOT NULL,
            PRIMARY KEY (stage, fingerprint, id)
        ) WITHOUT ROWID;
INSERT INTO "shards" VALUES('detect','9099f04dd7b30e51993e2229df26b184501aa4b7e495f360715c5dce62a4e687','7978f2d1349c6294192f3807');
INSERT INTO "shards" VALUES('obfuscate','af2eacdb062d5134b6a15e5cecc1af1f0f11196a0ca2f6559138571ab5062db4','7978f2d1349c6294192f3807');
INSERT INTO "shards" VALUES('verify','dab64f1f2d8b497bd80a451d5a2f4626306f51f7881af41b1cb6d378121f0888','7978f2d1349c6294192f3807');
CREATE INDEX records_by_key ON records (fingerprint, kind, key, seq);
CREATE TRIGGER records_stay BEFORE UPDATE ON records
            BEGIN SELECT RAISE(ABORT, 'records are append-only'); END;
CREATE TRIGGER records_remain BEFORE DELETE ON records
            BEGIN SELECT RAISE(ABORT, 'records are append-only'); END;
COMMIT;
PRAGMA user_version = 2;
