"""Pure core of one hop: what a tensor looks like on the wire, frames and codecs; grpc only at its edge."""
