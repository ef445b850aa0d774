//! Stories of jobs that go well, fail, panic, meet a full disk, or are too many.

use std::sync::mpsc as std_mpsc;

use super::*;

fn table(connection: &Connection) {
    connection.execute_batch("CREATE TABLE t (n INTEGER PRIMARY KEY)").expect("a table");
}

fn insert(n: i64) -> impl FnOnce(&Connection) -> Result<usize, DeskError> + Send {
    move |connection| Ok(connection.execute("INSERT INTO t VALUES (?1)", [n])?)
}

async fn count(desk: &Desk) -> i64 {
    desk.run(|connection| Ok(connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0))?))
        .await
        .expect("counted")
}

#[tokio::test]
async fn a_job_that_fails_is_undone_alone_in_both_kinds_of_desk() {
    for threaded in [true, false] {
        let connection = Connection::open_in_memory().expect("a database");
        table(&connection);
        let desk = if threaded {
            Desk::threaded(connection, "test").expect("a thread")
        } else {
            Desk::inline(connection)
        };
        desk.run(insert(1)).await.expect("inserted");
        let half = desk.run(|connection| {
            connection.execute("INSERT INTO t VALUES (2)", [])?;
            Ok(connection.execute("INSERT INTO t VALUES (1)", [])?)
        });
        assert!(half.await.is_err());
        desk.run(insert(3)).await.expect("inserted");
        assert_eq!(count(&desk).await, 2, "1 and 3, not 2");
    }
}

#[tokio::test]
async fn jobs_that_wait_together_are_all_answered_and_all_there_after_reopening() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("x.db");
    let connection = open(&path).expect("opened");
    table(&connection);
    let desk = Desk::threaded(connection, "test").expect("a thread");
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..1_000 {
        let desk = desk.clone();
        tasks.spawn(async move { desk.run(insert(n)).await });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic").expect("inserted");
    }
    // A second connection sees only what was committed.
    let other = open(&path).expect("opened");
    let there: i64 = other.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).expect("counted");
    assert_eq!(there, 1_000);
}

#[tokio::test]
async fn a_full_disk_is_told_and_the_desk_lives_on_when_there_is_room_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let connection = open(&directory.path().join("x.db")).expect("opened");
    connection.execute_batch("CREATE TABLE t (n INTEGER PRIMARY KEY, x TEXT)").expect("a table");
    let limit = |pages: i64| {
        move |connection: &Connection| {
            Ok(connection
                .query_row(&format!("PRAGMA max_page_count = {pages}"), [], |row| row.get::<_, i64>(0))?)
        }
    };
    let desk = Desk::threaded(connection, "test").expect("a thread");
    desk.run(limit(3)).await.expect("limited");
    let fill =
        |connection: &Connection| Ok(connection.execute("INSERT INTO t (x) VALUES (zeroblob(100000))", [])?);
    let error = desk.run(fill).await.expect_err("no room");
    assert!(error.is_disk_trouble(), "{error}");
    desk.run(limit(10_000)).await.expect("unlimited");
    desk.run(fill).await.expect("there is room again");
    assert_eq!(count(&desk).await, 1);
}

#[test]
fn rubbish_is_recognised_and_set_aside_whole() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("x.db");
    std::fs::write(&path, vec![b'x'; 8_192]).expect("written");
    assert!(open(&path).is_err());
    let aside = set_aside(&path, "corrupt-1").expect("moved");
    assert_eq!(std::fs::read(aside).expect("kept").len(), 8_192);
    assert!(is_sound(&open(&path).expect("a new one")));
}

/// Keeps the clerk from the jobs that are given meanwhile, so that they form one group.
fn hold(desk: &Desk) -> (std_mpsc::Sender<()>, tokio::task::JoinHandle<()>) {
    let (go_on, wait) = std_mpsc::channel::<()>();
    let (desk, (began, has_begun)) = (desk.clone(), std_mpsc::channel::<()>());
    let held = tokio::spawn(async move {
        let waiting = desk.run(move |_| {
            began.send(()).ok();
            wait.recv().ok();
            Ok(())
        });
        waiting.await.expect("held");
    });
    tokio::task::block_in_place(|| has_begun.recv().expect("it began"));
    (go_on, held)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_meets_the_full_disk_is_told_so_and_those_beside_it_may_try_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let connection = open(&directory.path().join("x.db")).expect("opened");
    table(&connection);
    connection.execute_batch("CREATE TABLE big (x BLOB); PRAGMA max_page_count = 8").expect("limited");
    let desk = Desk::threaded(connection, "test").expect("a thread");
    let (go_on, held) = hold(&desk);
    let too_much =
        |connection: &Connection| Ok(connection.execute("INSERT INTO big VALUES (zeroblob(100000))", [])?);
    let (before, full, after) = (desk.run(insert(1)), desk.run(too_much), desk.run(insert(2)));
    let release = async { go_on.send(()).expect("it waits") };
    let (before, full, after, ()) = tokio::join!(before, full, after, release);
    held.await.expect("no panic");
    let full = full.expect_err("no room");
    assert!(matches!(full, DeskError::Database(_)) && full.is_disk_trouble(), "{full}");
    for beside in [before.expect_err("undone"), after.expect_err("not begun")] {
        assert!(matches!(beside, DeskError::Undone(_)) && beside.is_disk_trouble(), "{beside}");
        assert!(beside.to_string().contains("full"), "{beside}");
    }
    assert_eq!(count(&desk).await, 0, "nothing is there that was not promised");
    desk.run(insert(1)).await.expect("there is room for small things");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_panics_is_undone_alone_and_the_clerk_lives_on() {
    let connection = Connection::open_in_memory().expect("a database");
    table(&connection);
    let desk = Desk::threaded(connection, "test").expect("a thread");
    let (go_on, held) = hold(&desk);
    let panics = desk.run(|connection: &Connection| -> Result<(), DeskError> {
        connection.execute("INSERT INTO t VALUES (2)", [])?;
        panic!("a job that panics, as this test wants")
    });
    let release = async { go_on.send(()).expect("it waits") };
    let (one, panicked, three, ()) = tokio::join!(desk.run(insert(1)), panics, desk.run(insert(3)), release);
    held.await.expect("no panic");
    one.expect("inserted");
    three.expect("inserted");
    assert!(matches!(panicked, Err(DeskError::Interrupted)), "{panicked:?}");
    assert_eq!(count(&desk).await, 2, "1 and 3, not 2");
    let panicked = desk.between(|_| panic!("so may this")).await;
    assert!(matches!(panicked, Err(DeskError::Interrupted)), "{panicked:?}");
    assert_eq!(count(&desk).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_jobs_are_told_so_or_wait_as_the_desk_was_made() {
    let connection = Connection::open_in_memory().expect("a database");
    table(&connection);
    let patient = Desk::threaded(connection, "test").expect("a thread");
    let brisk = patient.clone().telling_overload();
    let (go_on, held) = hold(&patient);
    let many = i64::try_from(QUEUE).expect("few") + 10;
    let insertions = |desk: &Desk, from: i64| {
        let mut tasks = tokio::task::JoinSet::new();
        for n in from..from + many {
            let desk = desk.clone();
            tasks.spawn(async move { desk.run(insert(n)).await });
        }
        tasks
    };
    let mut told = insertions(&brisk, 0);
    for _ in 0..10 {
        let told = told.join_next().await.expect("one").expect("no panic");
        assert!(matches!(told, Err(DeskError::Overloaded)), "{told:?}");
    }
    let waiting = insertions(&patient, many);
    go_on.send(()).expect("it waits");
    held.await.expect("no panic");
    for answer in told.join_all().await.into_iter().chain(waiting.join_all().await) {
        answer.expect("inserted");
    }
    assert_eq!(count(&patient).await, 2 * many - 10);
}

#[tokio::test]
async fn a_reason_of_its_own_undoes_a_job_and_is_handed_back() {
    let connection = Connection::open_in_memory().expect("a database");
    table(&connection);
    let desk = Desk::inline(connection);
    let refused = desk.attempt(|connection| {
        connection.execute("INSERT INTO t VALUES (1)", []).expect("inserted");
        Err::<(), _>("not in this house".to_owned())
    });
    assert_eq!(refused.await.expect("done").expect_err("refused"), "not in this house");
    assert_eq!(count(&desk).await, 0);
}

#[tokio::test]
async fn a_second_desk_reads_what_the_first_has_committed_and_what_is_between_may_replace_the_state() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("x.db");
    let connection = open(&path).expect("opened");
    table(&connection);
    let writer = Desk::threaded(connection, "writer").expect("a thread");
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let connection = Connection::open_with_flags(&path, flags).expect("opened");
    let reader = Desk::threaded(connection, "reader").expect("a thread");
    writer.run(insert(1)).await.expect("inserted");
    assert_eq!(count(&reader).await, 1);
    assert!(reader.run(insert(2)).await.is_err(), "it only reads");
    reader.between(move |state| *state = open(&path).expect("opened")).await.expect("replaced");
    reader.run(insert(2)).await.expect("now it may");
    assert_eq!(count(&writer).await, 2);
}
