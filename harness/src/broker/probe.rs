//! Asking a broker which brokers it knows: the one request of Kafka's protocol that is needed to know that a cluster is
//! ready. An open port comes earlier, and says nothing about the other nodes.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::node::NodeId;

const METADATA: i16 = 3;
/// The oldest version in which an empty list of topics asks for none of them.
const METADATA_VERSION: i16 = 1;
/// More than the metadata of any cluster on one machine.
const LONGEST_ANSWER: usize = 1 << 16;

/// The nodes in the metadata of the broker that listens at `address` without TLS and password, in order. It has `patience`
/// for each step.
///
/// # Errors
/// When nothing listens there or answers in time, or the answer is not one of Kafka's.
pub fn brokers(address: SocketAddr, patience: Duration) -> io::Result<Vec<NodeId>> {
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    stream.write_all(&request())?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > LONGEST_ANSWER {
        return Err(not_kafka());
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    parse(&answer).ok_or_else(not_kafka)
}

fn not_kafka() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "what answers is not a Kafka broker")
}

/// A metadata request for no topic, with its length in front.
fn request() -> Vec<u8> {
    let client = b"skirl";
    let mut body = Vec::new();
    body.extend(METADATA.to_be_bytes());
    body.extend(METADATA_VERSION.to_be_bytes());
    body.extend(0i32.to_be_bytes()); // the number of the request
    body.extend((client.len() as i16).to_be_bytes());
    body.extend(client);
    body.extend(0i32.to_be_bytes()); // topics
    let mut request = (body.len() as i32).to_be_bytes().to_vec();
    request.extend(body);
    request
}

/// The nodes in an answer: its number, then for each broker node id, host, port and rack.
fn parse(answer: &[u8]) -> Option<Vec<NodeId>> {
    let mut rest = answer;
    take::<4>(&mut rest)?;
    let count = i32::from_be_bytes(take(&mut rest)?);
    let mut nodes = Vec::new();
    for _ in 0..count {
        nodes.push(NodeId::try_from(i32::from_be_bytes(take(&mut rest)?)).ok()?);
        skip_string(&mut rest)?;
        take::<4>(&mut rest)?;
        skip_string(&mut rest)?;
    }
    nodes.sort_unstable();
    Some(nodes)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*bytes)
}

/// A string has its length in front, and -1 for none.
fn skip_string(rest: &mut &[u8]) -> Option<()> {
    let length = i16::from_be_bytes(take(rest)?).max(0);
    *rest = rest.get(length as usize..)?;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nodes 2 and 1, each of host "h" at port 9 without a rack.
    const ANSWER: &[u8] = b"\0\0\0\0\0\0\0\x02\0\0\0\x02\0\x01h\0\0\0\x09\xff\xff\0\0\0\x01\0\x01h\0\0\0\x09\xff\xff";

    #[test]
    fn the_nodes_of_an_answer_come_in_order() {
        assert_eq!(parse(ANSWER), Some(vec![1, 2]));
        assert_eq!(parse(&[0; 8]), Some(vec![]));
    }

    #[test]
    fn an_answer_cut_short_is_none() {
        for length in 0..ANSWER.len() {
            assert_eq!(parse(&ANSWER[..length]), None, "the first {length} bytes");
        }
    }

    #[test]
    fn a_request_is_as_long_as_it_says() {
        let request = request();
        let length = u32::from_be_bytes(request[..4].try_into().unwrap());
        assert_eq!(request.len(), 4 + length as usize);
    }
}
