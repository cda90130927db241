-- What a member's source speaks: EndpointProtocol. Those that were there speak gRPC.
ALTER TABLE endpoint ADD COLUMN protocol BIGINT NOT NULL DEFAULT 1;
