//! The throwaway broker as a library.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::kill;
use nix::unistd::Pid;
use skirl::broker::{Cluster, Listener, NodeId, Options, State, User, brokers};

use crate::needs::{Outcome, Test, soon, tests};
use crate::role::Role;

pub const TESTS: &[Test] = tests! {
    OwnCluster:
        a_node_is_killed_and_comes_back_where_it_was,
        a_frozen_node_answers_nothing_until_it_is_resumed,
        of_three_nodes_two_go_on_without_the_third,
        no_broker_outlives_a_killed_process,
        a_broker_outlives_the_thread_that_started_it,
        a_stopped_cluster_leaves_neither_process_nor_file,
        a_node_that_does_not_start_shows_its_log,
        a_cluster_with_passwords_tells_them_to_nobody;
};

/// A broker that has not answered by then does not.
const PATIENCE: Duration = Duration::from_millis(500);

fn a_node_is_killed_and_comes_back_where_it_was() -> Outcome {
    let mut cluster = Cluster::start(Options::default())?;
    let address = cluster.bootstrap();
    assert_eq!(known(&address), Some(vec![1]));

    cluster.kill(1)?;
    assert_eq!(known(&address), None);
    assert_eq!(states(&mut cluster), [State::Down]);
    let error = cluster.freeze(1).unwrap_err().to_string();
    assert_eq!(error, "node 1 is down, so it cannot be frozen; restart it first");

    cluster.restart(1)?;
    assert_eq!(cluster.bootstrap(), address);
    assert_eq!(known(&address), Some(vec![1]));
    Ok(())
}

fn a_frozen_node_answers_nothing_until_it_is_resumed() -> Outcome {
    let mut cluster = Cluster::start(Options::default())?;
    let address = cluster.bootstrap();

    cluster.freeze(1)?;
    assert_eq!(states(&mut cluster), [State::Frozen]);
    TcpStream::connect_timeout(&socket(&address), PATIENCE)?;
    assert_eq!(
        known(&address),
        None,
        "the system takes connections for it, and it answers none"
    );

    cluster.resume(1)?;
    soon("it does not answer again", || {
        known(&address).filter(|nodes| *nodes == [1])
    })?;
    cluster.freeze(1)?;
    cluster.kill(1)?;
    assert_eq!(states(&mut cluster), [State::Down]);
    Ok(())
}

fn of_three_nodes_two_go_on_without_the_third() -> Outcome {
    let mut cluster = Cluster::start(Options {
        nodes: 3,
        ..Options::default()
    })?;
    let bootstrap = cluster.bootstrap();
    let addresses: Vec<&str> = bootstrap.split(',').collect();
    for address in &addresses {
        assert_eq!(known(address), Some(vec![1, 2, 3]));
    }

    cluster.kill(2)?;
    for address in [addresses[0], addresses[2]] {
        soon("node 2 is still known", || {
            known(address).filter(|nodes| *nodes == [1, 3])
        })?;
    }
    cluster.restart(2)?;
    for address in &addresses {
        assert_eq!(known(address), Some(vec![1, 2, 3]));
    }
    assert_eq!(
        cluster.kill(4).unwrap_err().to_string(),
        "there is no node 4; this cluster has nodes 1 to 3"
    );
    Ok(())
}

fn no_broker_outlives_a_killed_process() -> Outcome {
    let mut owner = Role::Owner.command().arg("3").stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(owner.stdout.take().expect("a pipe")).read_line(&mut line)?;
    let pids: Vec<i32> = line
        .split_whitespace()
        .map(|pid| pid.parse().expect("a number"))
        .collect();
    assert!(pids.len() == 3 && pids.iter().all(|pid| is_alive(*pid)), "{line:?}");

    owner.kill()?;
    owner.wait()?;
    let all_are_gone = || (!pids.iter().any(|pid| is_alive(*pid))).then_some(());
    soon("one of them lives, perhaps the frozen one", all_are_gone)?;
    Ok(())
}

fn a_broker_outlives_the_thread_that_started_it() -> Outcome {
    let start = || Cluster::start(Options::default());
    let mut cluster = std::thread::spawn(start).join().expect("no panic")?;
    let address = cluster.bootstrap();
    assert_eq!(known(&address), Some(vec![1]));
    assert_eq!(states(&mut cluster), [State::Running]);
    Ok(())
}

fn a_stopped_cluster_leaves_neither_process_nor_file() -> Outcome {
    let mut cluster = Cluster::start(Options::default())?;
    let (address, dir) = (cluster.bootstrap(), cluster.dir().to_owned());
    let pid = cluster.states()?[0].1;
    assert!(dir.join("node-1/data").is_dir());

    cluster.freeze(1)?;
    cluster.stop()?;
    assert!(!is_alive(pid as i32));
    assert_eq!(known(&address), None);
    assert!(!dir.exists());
    Ok(())
}

fn a_node_that_does_not_start_shows_its_log() -> Outcome {
    let dir = tempfile::tempdir()?;
    let options = Options {
        settings: vec![("min.insync.replicas".to_owned(), "0".to_owned())],
        dir: Some(dir.path().join("files")),
        ..Options::default()
    };
    let error = Cluster::start(options).unwrap_err().to_string();
    assert!(error.contains("min.insync.replicas"), "{error}");
    assert!(!dir.path().join("files").exists());
    Ok(())
}

fn a_cluster_with_passwords_tells_them_to_nobody() -> Outcome {
    let dir = tempfile::tempdir()?;
    let options = Options {
        tls: true,
        users: vec![User {
            name: "alice".to_owned(),
            password: "planted-password".to_owned(),
        }],
        dir: Some(dir.path().to_owned()),
        ..Options::default()
    };
    let cluster = Cluster::start(options)?;
    let logs = files_named(dir.path(), "log.txt");
    assert_eq!(logs.len(), 1);
    for log in logs {
        assert!(!fs::read_to_string(log)?.contains("planted-password"));
    }
    assert_eq!(cluster.listeners().len(), 5);
    let settings = cluster.client_settings(Listener::SaslTls).expect("it was asked for");
    assert_eq!(settings["sasl.password"], "planted-password");
    Ok(())
}

/// The nodes that the broker at `address` knows; `None` if it does not answer.
fn known(address: &str) -> Option<Vec<NodeId>> {
    brokers(socket(address), PATIENCE).ok()
}

fn socket(address: &str) -> SocketAddr {
    address.parse().expect("an address and a port")
}

fn states(cluster: &mut Cluster) -> Vec<State> {
    cluster
        .states()
        .expect("the system tells")
        .into_iter()
        .map(|(_, _, state)| state)
        .collect()
}

/// Whether the process runs or is frozen. One that is dead and whose end nobody has asked for does not live.
pub fn is_alive(pid: i32) -> bool {
    let is_there = kill(Pid::from_raw(pid), None).is_ok();
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    is_there && !status.contains(") Z ")
}

fn files_named(dir: &Path, name: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_named(&path, name));
        } else if path.ends_with(name) {
            found.push(path);
        }
    }
    found
}
