use std::rc::Rc;
use std::time::Duration;

use super::wire::Ended;
use super::*;

fn exec(program: &str, arguments: &[&str]) -> Exec {
    Exec {
        program: std::path::Path::new(program).into(),
        arguments: arguments.iter().map(|one| Box::from(*one)).collect(),
        timeout: Duration::from_millis(1500),
    }
}

#[test]
fn the_list_of_programs_arrives_as_it_was_sent() {
    let (ours, theirs) = StdStream::pair().unwrap();
    let programs = [exec("/bin/a", &["x", "", "a b\n\"'"]), exec("/bin/b", &[])];
    wire::write_list(&ours, &programs).unwrap();
    assert_eq!(wire::read_list(&theirs).unwrap(), programs);
}

#[tokio::test]
async fn answers_arrive_as_they_were_sent() {
    for (ended, expected) in [
        (Ended::Output(Zeroizing::new(b"the secret".to_vec())), Ok(b"the secret".to_vec())),
        (Ended::Output(Zeroizing::default()), Ok(Vec::new())),
        (Ended::NotStarted(2), Err(NotRun::NotStarted("No such file or directory (os error 2)".into()))),
        (Ended::Status(3, 9), Err(NotRun::Failed { how: "status 3".into(), said: 9 })),
        (Ended::Signal(9, 0), Err(NotRun::Failed { how: "signal 9".into(), said: 0 })),
        (Ended::TimedOut, Err(NotRun::TimedOut)),
        (Ended::TooMuch, Err(NotRun::TooMuch)),
    ] {
        let bytes = wire::answer(7, &ended);
        let (id, answer) = wire::read_answer(&mut &bytes[..]).await.unwrap();
        assert_eq!((id, answer.map(|output| output.to_vec())), (7, expected));
    }
}

#[tokio::test]
async fn an_answer_that_is_too_long_or_of_no_kind_ends_the_conversation() {
    for bytes in [&[0, 0, 0, 1, 0, 0xff, 0xff, 0xff, 0xff][..], &[0, 0, 0, 1, 77, 0, 0, 0, 0], b"\0\0"] {
        assert!(wire::read_answer(&mut &*bytes).await.is_err());
    }
}

#[tokio::test]
async fn only_what_was_named_is_asked_for_and_each_gets_its_own_answer() {
    let (ours, theirs) = StdStream::pair().unwrap();
    let programs = vec![exec("/bin/a", &[]), exec("/bin/b", &["x"])];
    ours.set_nonblocking(true).unwrap();
    theirs.set_nonblocking(true).unwrap();
    let (questions, asked) = mpsc::channel(4);
    let is_gone = Arc::<AtomicBool>::default();
    tokio::spawn(converse(UnixStream::from_std(ours).unwrap(), asked, Arc::clone(&is_gone)));
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let runner = Runner { programs: programs.clone(), questions: Some(questions), slots, is_gone };
    assert_eq!(runner.run(&exec("/bin/b", &["y"])).await.unwrap_err(), NotRun::Unknown);
    assert!(runner.knows(&programs[1]) && !runner.knows(&exec("/bin/b", &[])));
    let (mut read, mut write) = UnixStream::from_std(theirs).unwrap().into_split();
    let helper = tokio::spawn(async move {
        let questions = [wire::read_question(&mut read).await.unwrap(), wire::read_question(&mut read).await.unwrap()];
        for (id, program) in questions.into_iter().rev() {
            let output = Ended::Output(Zeroizing::new(format!("of {program}").into_bytes()));
            write.write_all(&wire::answer(id, &output)).await.unwrap();
        }
    });
    let (one, two) = tokio::join!(runner.run(&programs[0]), runner.run(&programs[1]));
    assert_eq!((&**one.unwrap(), &**two.unwrap()), (&b"of 0"[..], &b"of 1"[..]));
    helper.await.unwrap();
    // Its end of the socket is closed.
    assert_eq!(runner.run(&programs[0]).await.unwrap_err(), NotRun::NoHelper);
    assert_eq!(runner.is_there(), Some(false));
}

#[tokio::test]
async fn without_a_helper_programs_are_known_and_not_run() {
    let runner = Runner::without(vec![exec("/bin/a", &[])]);
    assert_eq!(runner.run(&exec("/bin/a", &[])).await.unwrap_err(), NotRun::NoHelper);
    assert_eq!((runner.is_there(), Runner::without(Vec::new()).is_there()), (Some(false), None));
}

#[tokio::test]
async fn no_more_is_asked_for_than_runs_at_once_and_what_nobody_waits_for_is_not_asked() {
    let (ours, theirs) = StdStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let child = Command::new("/bin/true").spawn().unwrap();
    let program = exec("/bin/a", &[]);
    let runner = Arc::new(Runner::through(Helper { programs: vec![program.clone()], child, socket: ours }).unwrap());
    let (mut read, mut write) = UnixStream::from_std(theirs).unwrap().into_split();
    let ask = || {
        let (runner, program) = (Arc::clone(&runner), program.clone());
        tokio::spawn(async move { runner.run(&program).await })
    };
    // All of them are given up, the first ones while they run.
    let mut given_up: Vec<_> = (0..AT_ONCE).map(|_| ask()).collect();
    let mut open = Vec::new();
    for _ in 0..AT_ONCE {
        open.push(wire::read_question(&mut read).await.unwrap().0);
    }
    given_up.extend((0..100).map(|_| ask()));
    tokio::task::yield_now().await;
    for asker in given_up {
        asker.abort();
        assert!(asker.await.unwrap_err().is_cancelled());
    }
    assert_eq!(runner.slots.available_permits(), 0, "they run all the same");
    let last = ask();
    let output = Ended::Output(Zeroizing::new(b"of the last".to_vec()));
    write.write_all(&wire::answer(open[0], &Ended::TimedOut)).await.unwrap();
    let (id, _) = wire::read_question(&mut read).await.unwrap();
    assert_eq!(usize::try_from(id).unwrap(), AT_ONCE + 1, "the hundred were never asked for");
    write.write_all(&wire::answer(id, &output)).await.unwrap();
    assert_eq!(&**last.await.unwrap().unwrap(), b"of the last");
}

#[tokio::test]
async fn however_many_questions_come_each_is_answered() {
    let (ours, theirs) = StdStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    theirs.set_nonblocking(true).unwrap();
    let local = tokio::task::LocalSet::new();
    let serving = local.run_until(helper::serve(theirs, vec![exec("/nowhere/to/be/found", &[])], Rc::default()));
    let asking = async {
        let (mut read, mut write) = UnixStream::from_std(ours).unwrap().into_split();
        let questions: Vec<u8> = (0..500).flat_map(|id| wire::question(id, 0)).collect();
        write.write_all(&questions).await.unwrap();
        let mut seen = std::collections::BTreeSet::new();
        while seen.len() < 500 {
            let (id, answer) = wire::read_answer(&mut read).await.unwrap();
            assert!(matches!(answer, Err(NotRun::NotStarted(_))) && seen.insert(id));
        }
    };
    let (served, ()) = tokio::join!(serving, asking);
    served.unwrap();
}
