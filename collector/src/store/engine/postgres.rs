//! PostgreSQL, or what speaks its protocol, over one connection that is made anew when it is gone.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::BufMut;
use futures::TryStreamExt;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, NoTls, Socket, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::address::{Address, chain};
use super::dialect;
use super::line::Line;
use super::{Access, Row, Value};
use crate::store::StoreError;

/// How long one answer may take, or the next of its rows.
const PATIENCE: Duration = Duration::from_mins(1);

/// The most statements kept prepared: more than this program has.
const STATEMENTS: usize = 512;

/// One connection to a server.
pub(crate) struct Postgres {
    address: Address,
    access: Access,
    line: Line,
    client: RefCell<Option<Arc<Client>>>,
    statements: RefCell<HashMap<String, Statement>>,
    in_transaction: Cell<bool>,
    /// Whether this one is to keep others away.
    claims: Cell<bool>,
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Postgres({}, {:?})", self.address, self.access)
    }
}

impl Postgres {
    /// Connects, and finds or makes the house there.
    pub(super) fn connect(address: Address, access: Access) -> Result<Self, StoreError> {
        let line = Line::start().map_err(|error| StoreError::new(format!("it gets no thread: {error}")))?;
        let server = Self {
            address,
            access,
            line,
            client: RefCell::default(),
            statements: RefCell::default(),
            in_transaction: Cell::new(false),
            claims: Cell::new(false),
        };
        server.reconnect()?;
        Ok(server)
    }

    /// One more connection, for reading.
    pub(super) fn reader(&self) -> Result<Self, StoreError> {
        Self::connect(self.address.clone(), Access::Read)
    }

    /// Makes the connection anew.
    pub(super) fn reconnect(&self) -> Result<(), StoreError> {
        *self.client.borrow_mut() = None;
        self.statements.borrow_mut().clear();
        self.in_transaction.set(false);
        let config = match self.access {
            Access::Write => self.address.to_write(),
            Access::Read => self.address.to_read(),
        };
        let connecting = if self.address.is_plain() {
            self.line.spawn(dial(config, NoTls))
        } else {
            self.line.spawn(dial(config, tls()?))
        };
        let client = match self.line.wait(PATIENCE, connecting) {
            Some(Ok(Ok(client))) => client,
            Some(Ok(Err(error))) => return Err(self.trouble(&error)),
            Some(Err(_)) | None => return Err(self.gone("does not answer")),
        };
        *self.client.borrow_mut() = Some(Arc::new(client));
        match self.access {
            Access::Read => self.batch(dialect::GREETING_READER),
            Access::Write => {
                self.batch(dialect::GREETING)?;
                // Where two make it at once, one is refused, and finds it there.
                self.batch(dialect::HOUSE).or_else(|_| self.batch(dialect::HOUSE))?;
                if self.claims.get() { self.claim() } else { Ok(()) }
            }
        }
    }

    /// Keeps others from claiming the database, on this connection and those that come after it.
    pub(super) fn claim(&self) -> Result<(), StoreError> {
        self.claims.set(true);
        let mut is_ours = false;
        self.each(dialect::CLAIM, &[], |row| {
            is_ours = row.get::<i64>(0)? == 1;
            Ok::<_, StoreError>(())
        })?;
        if is_ours {
            return self.batch(dialect::CLAIMED);
        }
        // Nothing may be written over a connection without a claim.
        *self.client.borrow_mut() = None;
        Err(self.gone("is in use by another collector"))
    }

    pub(super) fn access(&self) -> Access {
        self.access
    }

    pub(super) fn version(&self) -> Result<usize, StoreError> {
        let mut version = 0;
        self.each("SELECT version FROM house WHERE id = 1", &[], |row| {
            version = row.get::<u32>(0)? as usize;
            Ok::<_, StoreError>(())
        })?;
        Ok(version)
    }

    pub(super) fn set_version(&self, version: usize) -> Result<(), StoreError> {
        self.batch(&format!("UPDATE house SET version = {version} WHERE id = 1"))
    }

    /// Runs statements that have no values.
    pub(super) fn batch(&self, sql: &str) -> Result<(), StoreError> {
        let client = self.client()?;
        self.ask(client.batch_execute(sql))
    }

    pub(super) fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<usize, StoreError> {
        let (client, statement) = (self.client()?, self.prepared(sql)?);
        let changed = self.ask(client.execute_raw(&statement, values.iter().map(as_sql)))?;
        Ok(usize::try_from(changed).unwrap_or(usize::MAX))
    }

    /// All are on their way before the first is answered.
    pub(super) fn execute_many(&self, sql: &str, rows: &[Vec<Value<'_>>]) -> Result<(), StoreError> {
        let (client, statement) = (self.client()?, self.prepared(sql)?);
        let asked = rows.iter().map(|values| client.execute_raw(&statement, values.iter().map(as_sql)));
        self.ask(futures::future::try_join_all(asked)).map(drop)
    }

    /// As [`execute_many`](Self::execute_many), for one row of each answer.
    pub(super) fn first_many<T>(
        &self,
        sql: &str,
        rows: &[Vec<Value<'_>>],
        mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<Option<T>>, StoreError> {
        let (client, statement) = (self.client()?, self.prepared(sql)?);
        let asked = rows.iter().map(|values| async {
            let answer = client.query_raw(&statement, values.iter().map(as_sql)).await?;
            std::pin::pin!(answer).try_next().await
        });
        let answers = self.ask(futures::future::try_join_all(asked))?;
        answers.iter().map(|row| row.as_ref().map(|row| read(&Row::Postgres(row))).transpose()).collect()
    }

    pub(super) fn each<E: From<StoreError>>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        mut each: impl FnMut(&Row<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (client, statement) = (self.client()?, self.prepared(sql)?);
        let answer = self.ask(client.query_raw(&statement, values.iter().map(as_sql)))?;
        let mut rows = std::pin::pin!(answer);
        while let Some(row) = self.ask(rows.try_next())? {
            each(&Row::Postgres(&row))?;
        }
        Ok(())
    }

    /// Begins a transaction, on a new connection if the one there was is gone.
    pub(super) fn begin(&self) -> Result<(), StoreError> {
        let begin = match self.access {
            Access::Write => dialect::BEGIN_WRITE,
            Access::Read => dialect::BEGIN_READ,
        };
        let mut answer = self.batch(begin);
        if answer.as_ref().is_err_and(|error| error.reopen) {
            answer = self.reconnect().and_then(|()| self.batch(begin));
        }
        if answer.is_err() {
            self.batch("ROLLBACK").ok();
        }
        self.in_transaction.set(answer.is_ok());
        answer
    }

    /// Runs a statement that says how the transaction goes on or ends.
    pub(super) fn say(&self, statement: &str) -> Result<(), StoreError> {
        if matches!(statement, "COMMIT" | "ROLLBACK") {
            self.in_transaction.set(false);
        }
        self.batch(statement)
    }

    pub(super) fn is_in_transaction(&self) -> bool {
        self.in_transaction.get() && self.client().is_ok()
    }

    fn client(&self) -> Result<Arc<Client>, StoreError> {
        let client = self.client.borrow().clone().filter(|client| !client.is_closed());
        client.ok_or_else(|| self.gone("was connected to and is gone"))
    }

    fn prepared(&self, sql: &str) -> Result<Statement, StoreError> {
        if let Some(statement) = self.statements.borrow().get(sql) {
            return Ok(statement.clone());
        }
        let client = self.client()?;
        let statement = self.ask(client.prepare(&dialect::statement(sql)))?;
        let mut kept = self.statements.borrow_mut();
        if kept.len() >= STATEMENTS {
            kept.clear();
        }
        kept.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    /// Waits for an answer. After too long a silence the connection is given up.
    fn ask<T>(&self, asked: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, StoreError> {
        if let Some(answer) = self.line.wait(PATIENCE, asked) {
            return answer.map_err(|error| self.trouble(&error));
        }
        *self.client.borrow_mut() = None;
        Err(self.gone(&format!("gave no answer within {} s", PATIENCE.as_secs())))
    }

    fn gone(&self, how: &str) -> StoreError {
        StoreError { words: format!("{} {how}", self.address), reopen: true }
    }

    fn trouble(&self, error: &tokio_postgres::Error) -> StoreError {
        let Some(said) = error.as_db_error() else {
            return self.gone(&format!("is out of reach: {}", chain(error)));
        };
        let code = said.code().code();
        // Connections, resources, an operator's hand, the machine; and a server that may only be read from.
        let gone = ["08", "53", "57P", "58", "25006", "25P03"].iter().any(|class| code.starts_with(class));
        if gone {
            *self.client.borrow_mut() = None;
        }
        StoreError { words: format!("{} says: {} ({code})", self.address, said.message()), reopen: gone }
    }
}

/// Connects, and leaves the connection to itself on the runtime of whoever called.
async fn dial<T>(config: tokio_postgres::Config, tls: T) -> Result<Client, tokio_postgres::Error>
where
    T: MakeTlsConnect<Socket>,
    T::Stream: Send + 'static,
{
    let (client, connection) = config.connect(tls).await?;
    // Why it ended is told to whoever asks next.
    tokio::spawn(async move { drop(connection.await) });
    Ok(client)
}

/// TLS with the machine's certificate authorities, or those that `SSL_CERT_FILE` names.
fn tls() -> Result<MakeRustlsConnect, StoreError> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| StoreError::new(format!("TLS cannot be set up: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// A column's value.
pub(super) fn value(row: &tokio_postgres::Row, at: usize) -> Result<Value<'_>, StoreError> {
    let kind = row.columns().get(at).map(|column| column.type_().clone());
    let read = match kind {
        Some(Type::INT8) => row.try_get::<_, Option<i64>>(at).map(Value::from),
        Some(Type::INT4) => row.try_get::<_, Option<i32>>(at).map(|n| Value::from(n.map(i64::from))),
        Some(Type::BYTEA) => row.try_get::<_, Option<&[u8]>>(at).map(Value::from),
        _ => row.try_get::<_, Option<&str>>(at).map(Value::from),
    };
    read.map_err(|error| StoreError::new(format!("column {at} of a row in it: {}", chain(&error))))
}

fn as_sql<'v>(value: &'v Value<'v>) -> &'v (dyn ToSql + Sync) {
    value
}

impl ToSql for Value<'_> {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut bytes::BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null => return Ok(IsNull::Yes),
            Self::Int(number) if *kind == Type::INT4 => out.put_i32(i32::try_from(*number)?),
            Self::Int(number) => out.put_i64(*number),
            Self::Text(text) => out.put_slice(text.as_bytes()),
            Self::Blob(bytes) => out.put_slice(bytes),
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}
