//! Commands in the sandbox: what honest ones can do, and what others that want out of it get.

use crate::world::{Ran, World};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::{Duration, Instant};

/// Runs a script of Python in the sandbox.
fn python(world: &World, flags: &[&str], script: &str) -> Ran {
    world.run(&[&["run"], flags, &["python3", "-c", script]].concat())
}

/// A place outside the tree that the person could write.
fn outside(world: &World) -> String {
    let dir = world.path("outside");
    if !dir.exists() {
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("file"), "theirs\n").unwrap();
    }
    dir.to_str().unwrap().to_owned()
}

/// Outside is as it was, modes included.
#[track_caller]
fn is_untouched(world: &World) {
    let dir = world.path("outside");
    let names: Vec<_> = fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["file"]);
    assert_eq!(fs::read_to_string(dir.join("file")).unwrap(), "theirs\n");
}

#[test]
fn a_command_reads_writes_in_the_tree_and_is_remembered() {
    let world = World::new();
    let line = "cat calc.py | wc -l; echo made > new.txt; echo $TMPDIR > $TMPDIR/x; cat $TMPDIR/x; echo bad >&2; exit 7";
    let ran = world.run(&["run", line]).exits(7).says("exit code 7 after");
    let tmp = ran.stdout.lines().nth(1).unwrap().to_owned();
    assert!(ran.stdout.starts_with("9\n/") && ran.stdout.ends_with("\nbad\n"), "{ran:#?}");
    assert!(!std::path::Path::new(&tmp).exists(), "its temporary directory went with it");
    assert_eq!(world.read("new.txt"), b"made\n");
    let log = world.run(&["log"]).ok();
    assert!(log.stdout.contains("exit 7       $ cat calc.py | wc -l"), "{log:#?}");
    let whole = world.run(&["log", "1"]).ok();
    assert!(whole.stdout.ends_with("bad\n\nexit code 7\n"), "{whole:#?}");
    let json = world.run(&["run", "--json", "printf", "%s", "a b"]).ok().json();
    assert_eq!((&json["output"], &json["ended"]["exit"]), (&"a b".into(), &0.into()));
    world.run(&["run", "no-such-program", "x"]).exits(127);
    world.run(&["run", "kill -9 $$"]).exits(137);
    assert_eq!(world.n_edits(), 0);
}

#[test]
fn writes_outside_are_refused_by_whatever_way() {
    let world = World::new();
    let out = outside(&world);
    for line in [
        format!("echo x > {out}/file"),
        format!("echo x > {out}/new"),
        format!("rm {out}/file"),
        format!("mkdir {out}/dir"),
        format!("mv {out}/file here"),
        format!("ln {out}/file here && echo x > here"),
        format!("ln -s {out}/file link && echo x > link"),
        format!("ln -s {out} door && echo x > door/new"),
        format!("cp calc.py x && mv x {out}/file"),
        format!("truncate -s 0 {out}/file"),
        format!("cd {out} && echo x > file"),
        format!("ln -s {out} sub && cd sub && touch new"),
        format!("chown 1:1 {out}/file"),
        "echo x > /proc/sys/kernel/core_pattern".to_owned(),
        "mount -t tmpfs none .".to_owned(),
        "mknod disk b 8 0".to_owned(),
        "unshare -r true".to_owned(),
        "setsid true".to_owned(),
    ] {
        let ran = world.run(&["run", &line]);
        assert_ne!(ran.code, Some(0), "{line}: {ran:#?}");
        is_untouched(&world);
        for name in ["here", "link", "door", "sub"] {
            let _ = fs::remove_file(world.tree().join(name));
        }
    }
}

/// One thread renames a link and a directory over each other while another writes through the name.
#[test]
fn a_race_of_links_and_renames_wins_nothing() {
    let world = World::new();
    let out = outside(&world);
    let script = format!(
        "import os, threading, time\n\
         os.mkdir('a'); open('a/file', 'w').close(); os.symlink('{out}', 'b')\n\
         end = time.time() + 2\n\
         def swap():\n    while time.time() < end:\n        os.rename('a', 'c'); os.rename('b', 'a'); os.rename('a', 'b'); os.rename('c', 'a')\n\
         threading.Thread(target=swap).start()\n\
         refused = 0\n\
         while time.time() < end:\n    try: open('a/file', 'w').write('x')\n    except PermissionError: refused += 1\n    except OSError: pass\n\
         print(refused)"
    );
    let ran = python(&world, &[], &script).ok();
    assert!(ran.stdout.trim().parse::<u64>().unwrap() > 0, "the race was never run: {ran:#?}");
    is_untouched(&world);
}

#[test]
fn no_network_unless_it_is_wanted() {
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let unix = world.path("door.sock");
    let _door = UnixListener::bind(&unix).unwrap();
    let tcp =
        format!("import socket; socket.create_connection(('127.0.0.1', {port})); print('in')");
    let udp = format!(
        "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.sendto(b'x', ('127.0.0.1', {port})); print('in')"
    );
    let unix = format!(
        "import socket; s = socket.socket(socket.AF_UNIX); s.connect('{}'); print('in')",
        unix.display()
    );
    let raw = "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW); print('in')";
    for script in [tcp.as_str(), &udp, &unix, raw] {
        let ran = python(&world, &[], script).exits(1);
        assert!(ran.stdout.contains("PermissionError"), "{script}: {ran:#?}");
    }
    for script in [&tcp, &udp] {
        assert_eq!(python(&world, &["--network"], script).ok().stdout, "in\n");
    }
    for script in [unix.as_str(), raw] {
        python(&world, &["--network"], script).exits(1);
    }
    // A pair that leads nowhere else is no network.
    python(&world, &[], "import socket; a, b = socket.socketpair(); a.send(b'x'); b.recv(1)").ok();
}

#[test]
fn other_processes_are_out_of_reach() {
    let world = World::new();
    let mut other = Command::new("sleep").arg("600").spawn().unwrap();
    let id = other.id();
    let attach = format!(
        "import ctypes; libc = ctypes.CDLL(None, use_errno=True)\n\
         r = libc.ptrace(16, {id}, 0, 0); print(r, ctypes.get_errno()); raise SystemExit(r == 0)"
    );
    let ran = python(&world, &[], &attach).ok();
    assert_eq!(ran.stdout, "-1 1\n", "EPERM");
    let memory = format!("open('/proc/{id}/mem', 'r+b')");
    python(&world, &[], &memory).exits(1);
    python(&world, &[], &format!("print(open('/proc/{id}/environ').read())")).exits(1);
    world.run(&["run", &format!("kill -9 {id}")]).exits(1);
    assert!(other.try_wait().unwrap().is_none(), "it was killed");
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn a_set_user_id_bit_gives_nothing() {
    let world = World::new();
    let line =
        "cp $(command -v id) own && chmod 4755 own && grep NoNewPrivs /proc/self/status; ./own -u";
    let ran = world.run(&["run", line]).ok();
    assert!(ran.stdout.starts_with("NoNewPrivs:\t1\n"), "{ran:#?}");
    let mode = fs::metadata(world.tree().join("own")).unwrap().permissions().mode();
    assert_eq!(mode & 0o4000, 0o4000, "it is there, and of no use");
}

/// Processes of a group that live; dead ones wait for whoever adopted them.
fn n_members(group: u32) -> usize {
    let stats = fs::read_dir("/proc").unwrap().flatten();
    let stats = stats.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    let of = |stat: &String| {
        let (_, fields) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        (fields[0] != "Z").then(|| fields.get(2)?.parse().ok()).flatten()
    };
    stats.filter(|stat| of(stat) == Some(group)).count()
}

#[test]
fn limits_end_the_whole_group() {
    let world = World::new();
    let start = Instant::now();
    let ran = world.run(&["run", "--processes", "60", "b() { b | b & }; b; sleep 100"]).exits(124);
    ran.says("too many processes");
    let hog = "x = []\nwhile True: x.append(bytearray(16 << 20))";
    // By the kernel, or by whoever watches, whichever is first.
    let ran = python(&world, &["--memory", "300 MB"], hog);
    assert!(matches!(ran.code, Some(1 | 124)), "{ran:#?}");
    // Several that each take what one may.
    let hogs = "for i in 1 2 3 4 5 6; do python3 -c 'x = bytearray(150 << 20); import time; time.sleep(100)' & done; wait";
    world.run(&["run", "--memory", "300 MB", hogs]).exits(124).says("too much memory");
    world.run(&["run", "yes"]).exits(124).says("printed too much");
    world.run(&["run", "--time", "1", "sleep 100 & sleep 100"]).exits(124).says("took too long");
    // What is left behind by a command that ends is ended too.
    let ran = world
        .run(&["run", "sleep 97 & nohup sleep 98 >/dev/null 2>&1 & (sleep 99 &); echo $$"])
        .ok();
    let group: u32 = ran.stdout.trim().parse().unwrap();
    assert_eq!(n_members(group), 0);
    assert!(start.elapsed() < Duration::from_secs(90), "took {:?}", start.elapsed());
}

#[test]
fn without_a_sandbox_only_limits_are_left() {
    let world = World::new();
    let out = outside(&world);
    world.run(&["run", "--no-sandbox", &format!("echo x > {out}/new")]).ok();
    assert!(world.path("outside/new").exists());
    world.run(&["run", "--no-sandbox", "--time", "1", "sleep 100"]).exits(124);
}
