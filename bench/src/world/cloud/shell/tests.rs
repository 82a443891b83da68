//! The shell, on virtual time and without a socket.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::FutureExt;

use super::*;

/// A caller that has written all that it will write, or has not yet.
#[derive(Default)]
struct Caller {
    typed: Mutex<VecDeque<Bytes>>,
    /// Whether it stays when it has written all.
    stays: bool,
    output: Mutex<Vec<u8>>,
    errors: Mutex<Vec<u8>>,
    slept_us: Mutex<u64>,
    /// After so many bytes it takes no more.
    most: Option<usize>,
}

impl Terminal for Caller {
    async fn read(&self) -> Option<Bytes> {
        poll_fn(|_| match self.typed.lock().pop_front() {
            None if self.stays => Poll::Pending,
            next => Poll::Ready(next),
        })
        .await
    }

    async fn write(&self, channel: Channel, bytes: Bytes) -> Result<(), Closed> {
        let mut output = match channel {
            Channel::Output => self.output.lock(),
            Channel::Error => self.errors.lock(),
        };
        output.extend_from_slice(&bytes);
        if self.most.is_some_and(|most| output.len() > most) { Err(Closed) } else { Ok(()) }
    }

    async fn sleep(&self, us: u64) {
        *self.slept_us.lock() += us;
        if us >= 1_000_000_000 {
            std::future::pending::<()>().await;
        }
    }

    fn now_us(&self) -> u64 {
        1_767_225_600_000_000
    }

    fn size(&self) -> (u16, u16) {
        (24, 80)
    }
}

impl Caller {
    fn typing(pieces: &[&[u8]]) -> Caller {
        let typed = pieces.iter().map(|piece| Bytes::copy_from_slice(piece)).collect();
        Caller { typed: Mutex::new(typed), ..Caller::default() }
    }

    fn output(&self) -> String {
        String::from_utf8_lossy(&self.output.lock()).into_owned()
    }

    fn errors(&self) -> String {
        String::from_utf8_lossy(&self.errors.lock()).into_owned()
    }
}

fn system() -> System {
    let variables = [("PATH", "/bin"), ("COLOUR", "blue  green")];
    System {
        hostname: "pod-a".to_owned(),
        variables: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        files: Arc::new(Mutex::new(Files::new("pod-a", Space::default()))),
        seed: 7,
    }
}

/// Runs a command to its end; `None` when it waits for something that does not come.
fn try_run(caller: &Caller, system: &System, command: &[&str], tty: bool) -> Option<Ended> {
    let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
    let mut future = pin!(run(caller, system.clone(), &command, tty));
    // It gives way now and then, which is no waiting.
    (0..100_000).find_map(|_| future.as_mut().now_or_never())
}

/// Types each piece when nothing more comes of the one before, on a terminal.
fn converse(command: &[&str], typed: &[&str]) -> (Option<Ended>, String) {
    let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
    let caller = Caller { stays: true, ..Caller::default() };
    let mut ended = None;
    {
        let mut future = pin!(run(&caller, system(), &command, true));
        for piece in [""].iter().chain(typed) {
            if !piece.is_empty() {
                caller.typed.lock().push_back(Bytes::copy_from_slice(piece.as_bytes()));
            }
            ended = (0..1_000).find_map(|_| future.as_mut().now_or_never());
        }
    }
    (ended, caller.output())
}

fn exit(command: &[&str], typed: &[&[u8]]) -> (i32, String, String) {
    let caller = Caller::typing(typed);
    match try_run(&caller, &system(), command, false) {
        Some(Ended::Exit(code)) => (code, caller.output(), caller.errors()),
        other => panic!("{command:?}: {other:?}"),
    }
}

fn script(script: &str) -> (i32, String, String) {
    exit(&["sh", "-c", script], &[])
}

fn output(text: &str) -> String {
    let (code, output, errors) = script(text);
    assert_eq!((code, errors.as_str()), (0, ""), "{text}");
    output
}

#[test]
fn commands_say_what_they_say_elsewhere() {
    assert_eq!(exit(&["echo", "a", "b"], &[]), (0, "a b\n".into(), String::new()));
    assert_eq!(exit(&["/bin/false"], &[]).0, 1);
    assert_eq!(exit(&["cat"], &[b"one\n", b"", b"two"]).1, "one\ntwo");
    assert_eq!(output("hostname; pwd; date"), "pod-a\n/\n2026-01-01T00:00:00Z\n");
    assert_eq!(output("seq 3 | tail -n 2; seq 5 | head -2 | wc -l"), "2\n3\n2\n");
    assert_eq!(
        output("echo $COLOUR; echo \"$COLOUR\"; env | head -1"),
        "blue green\nblue  green\nPATH=/bin\n"
    );
    assert_eq!(output("yes | head -n 3"), "y\ny\ny\n");
    assert_eq!(output("head -c 100k /dev/zero | wc -c"), "102400\n");
    assert_eq!(
        output("echo -n abc | sha256sum"),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  -\n"
    );
    assert_eq!(output("seq 4 | tail -n +3; echo abc | tail -c +2"), "3\n4\nbc\n");
}

#[test]
fn codes_decide_what_runs() {
    assert_eq!(script("false && echo a || echo b; exit 7; echo c"), (7, "b\n".into(), String::new()));
    assert_eq!(output("sh -c 'exit 3' || echo $?"), "3\n");
    assert_eq!(script("nothing here"), (127, String::new(), "sh: nothing: not found\n".into()));
    assert_eq!(
        script("echo 'a"),
        (2, String::new(), "sh: syntax error: unterminated quoted string\n".into())
    );
    assert_eq!(script("echo no >&2; exit 300"), (44, String::new(), "no\n".into()));
    assert_eq!(script("cat /none 2>&1 | wc -l").1, "1\n");
    assert_eq!(script("exit 3 | true").0, 0);
}

#[test]
fn what_is_not_there_does_not_start() {
    let ended = try_run(&Caller::default(), &system(), &["vi"], false);
    let Some(Ended::NotStarted(text)) = ended else { panic!("{ended:?}") };
    assert!(text.contains("exec: \"vi\": executable file not found in $PATH"), "{text}");
}

#[test]
fn files_are_kept_for_the_next_command() {
    let system = system();
    let run = |text: &str| {
        let caller = Caller::default();
        let ended = try_run(&caller, &system, &["sh", "-c", text], false);
        (ended, caller.output() + &caller.errors())
    };
    assert_eq!(run("mkdir -p /data/x && cd /data/x && echo a > f && echo b >> f").0, Some(Ended::Exit(0)));
    assert_eq!(
        run("cat < /data/x/f; ls /data; [ -d /data/x ] && test -e /data/x/f && echo yes").1,
        "a\nb\nx\nyes\n"
    );
    assert_eq!(run("test -d /none").0, Some(Ended::Exit(1)));
    assert_eq!(run("rm /data").1, "rm: can't remove '/data': Is a directory\n");
    assert_eq!(run("rm -rf /data /none && ls /data").1, "ls: /data: No such file or directory\n");
    assert_eq!(run("echo x > /none/f").1, "sh: can't create /none/f: No such file or directory\n");
}

#[test]
fn archives_go_in_and_out() {
    let system = system();
    let content: Vec<u8> = (0..1_500_000u32).map(|number| (number % 251) as u8).collect();
    let long = format!("{}/{}", "d".repeat(90), "f".repeat(90));
    let mut builder = ::tar::Builder::new(Vec::new());
    for (name, content) in [("up.bin", &content[..]), ("empty", b""), (long.as_str(), b"deep")] {
        let mut header = ::tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, name, content).unwrap();
    }
    let archive = builder.into_inner().unwrap();
    // In pieces that fit no block, and without an end of the input.
    let pieces: Vec<&[u8]> = archive.chunks(700).collect();
    let caller = Caller { stays: true, ..Caller::typing(&pieces) };
    assert_eq!(
        try_run(&caller, &system, &["tar", "-xmf", "-", "-C", "/tmp"], false),
        Some(Ended::Exit(0)),
        "{}",
        caller.errors()
    );
    assert_eq!(system.files.lock().read("/tmp/up.bin").unwrap().concat(), content);

    let caller = Caller::default();
    assert_eq!(try_run(&caller, &system, &["tar", "cf", "-", "/tmp"], false), Some(Ended::Exit(0)));
    let output = caller.output.lock().clone();
    assert_eq!(output.len() % 512, 0);
    let mut archive = ::tar::Archive::new(&output[..]);
    let mut found = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
        found.push((entry.path().unwrap().display().to_string(), content.len()));
    }
    let long = format!("tmp/{long}");
    let directory = format!("tmp/{}/", "d".repeat(90));
    assert_eq!(
        found,
        [
            ("tmp/".to_owned(), 0),
            (directory, 0),
            (long, 4),
            ("tmp/empty".to_owned(), 0),
            ("tmp/up.bin".to_owned(), content.len()),
        ]
    );

    let caller = Caller::typing(&[&b"this is no archive, whatever it may be, and its sum is wrong "[..]; 10]);
    assert_eq!(try_run(&caller, &system, &["tar", "xf", "-"], false), Some(Ended::Exit(1)));
    assert_eq!(caller.errors(), "tar: invalid tar magic\n");
}

#[test]
fn a_terminal_shows_what_is_typed_and_interrupts() {
    let (ended, output) =
        converse(&["sh"], &["echo hx\x7fi\r", "sleep 1000\r", "\x03", "stty size\r", "exit 4\r"]);
    assert_eq!(ended, Some(Ended::Exit(4)));
    assert_eq!(
        output,
        [
            "/ # echo hx\x08 \x08i\r\nhi\r\n",
            "/ # sleep 1000\r\n^C\r\n",
            "/ # stty size\r\n24 80\r\n",
            "/ # exit 4\r\n"
        ]
        .concat()
    );
    let (ended, _) = converse(&["sleep", "1000"], &["\x03"]);
    assert_eq!(ended, Some(Ended::Exit(130)));

    let caller = Caller::typing(&[b"cat\r", b"line\r\x04", b"\x04"]);
    assert_eq!(try_run(&caller, &system(), &["sh"], true), Some(Ended::Exit(0)));
    assert_eq!(caller.output().matches("line\r\n").count(), 2, "{:?}", caller.output());
}

#[test]
fn a_shell_reads_its_script_and_leaves_the_rest() {
    let (code, output, _) = exit(&["sh"], &[b"echo a\nhead -n 1\nfor ", b"the head\necho b\nexit 5\n"]);
    assert_eq!((code, output.as_str()), (5, "a\nfor the head\nb\n"));
}

#[test]
fn output_that_nobody_takes_ends_the_command() {
    let caller = Caller { most: Some(1_000_000), ..Caller::default() };
    assert_eq!(try_run(&caller, &system(), &["yes"], false), Some(Ended::Exit(BROKEN_PIPE)));
    // A loop without any output gives way, and is bounded in what it keeps.
    let caller = Caller::default();
    assert_eq!(try_run(&caller, &system(), &["sh", "-c", "yes > /dev/null"], false), None);
    assert_eq!(
        try_run(&caller, &system(), &["sh", "-c", "yes | wc -c > /dev/null"], false),
        Some(Ended::Exit(0))
    );
}

#[test]
fn fuzz_shell() {
    let check = |input: &[u8]| {
        let text = String::from_utf8_lossy(input);
        let caller = || Caller { most: Some(100_000), ..Caller::typing(&[input]) };
        for (command, tty) in [
            (&["sh", "-c", &text][..], false),
            (&["sh"], true),
            (&["sh"], false),
            (&["tar", "xf", "-"], false),
        ] {
            let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
            let caller = caller();
            let mut future = pin!(run(&caller, system(), &command, tty));
            // What it does not come to by then waits, or goes on as it began.
            (0..200).find_map(|_| future.as_mut().now_or_never());
        }
    };
    let archive = {
        let mut builder = ::tar::Builder::new(Vec::new());
        let mut header = ::tar::Header::new_gnu();
        header.set_size(3);
        builder.append_data(&mut header, "x".repeat(120), &b"abc"[..]).unwrap();
        builder.into_inner().unwrap()
    };
    let scripts: [&[u8]; 6] = [
        b"echo \"a $B\" 'c;d' >/tmp/x 2>&1 && cat </tmp/x | head -n 2 || exit 3; ls -l /",
        b"seq 3 9 | tail -n +2 | wc -l; tail -c 4 /tmp/x; head -c 1k /dev/urandom | sha256sum\n",
        b"mkdir -p a/b; cd a; touch b/c; tar cf - . | tar xf - -C /tmp; rm -rf b; [ -d b ]; cd ..",
        b"ls\x7f\x7fpwd\r\x15\x03cat\rline\x04\x04exit\r",
        b"sh -c \"sh -c 'yes ${A} $? $$' | head\" # end",
        &archive,
    ];
    fuzz::target!(&scripts, check);
}
