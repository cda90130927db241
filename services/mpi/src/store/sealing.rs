// Data keys, and what is sealed under them; included by `sqlite` and by `postgres` after `sql.rs`.

use signpost_common::seal::{self, KeyEncryption, KeyRing, sealed_under};

/// Rows that are sealed anew in one transaction.
const RESEALED_AT_ONCE: i64 = 1_000;

/// How long others have to finish with rows that they write before these are looked at again.
const MISSED_WAIT: Duration = Duration::from_millis(50);

/// How long a process seals under the keys that it knows before it looks for newer ones.
const KEYS_KNOWN_US: i64 = 60_000_000;

/// How what is sealed is read, held and written.
struct Resealing {
    what: Sealed,
    /// Reads some rows after one.
    select: &'static str,
    /// Holds those of some rows that nobody writes now, and returns them.
    hold: &'static str,
    /// Writes a row, unless somebody else has written it meanwhile.
    update: &'static str,
}

const RESEALED: [Resealing; 3] = [
    Resealing {
        what: Sealed::Records,
        select: "SELECT record_row, record_id, demographics FROM source_record
            WHERE record_row > $1 ORDER BY record_row LIMIT $2",
        hold: HOLD_RECORDS,
        update: "UPDATE source_record SET demographics = $3 WHERE record_row = $1 AND demographics = $2",
    },
    Resealing {
        what: Sealed::Comparisons,
        select: "SELECT record_row, '', prepared FROM comparison WHERE record_row > $1 ORDER BY record_row LIMIT $2",
        hold: HOLD_COMPARISONS,
        update: "UPDATE comparison SET prepared = $3 WHERE record_row = $1 AND prepared = $2",
    },
    Resealing {
        what: Sealed::Models,
        select: "SELECT model_row, version, body FROM model
            WHERE model_row > $1 AND body IS NOT NULL ORDER BY model_row LIMIT $2",
        hold: HOLD_MODELS,
        update: "UPDATE model SET body = $3 WHERE model_row = $1 AND body = $2",
    },
];

/// Seals and opens the values of records.
fn seal_record(keys: &KeyRing, record: &str, clear: &[u8]) -> Vec<u8> {
    keys.seal("mpi.record", record.as_bytes(), clear)
}

fn open_record(keys: &KeyRing, record: &str, sealed: &[u8]) -> Result<Vec<u8>, db::Error> {
    Ok(keys.open("mpi.record", record.as_bytes(), sealed)?)
}

fn seal_comparison(keys: &KeyRing, row: i64, prepared: &Packed) -> Vec<u8> {
    keys.seal("mpi.comparison", &row.to_be_bytes(), prepared.as_bytes())
}

fn open_comparison(keys: &KeyRing, row: i64, sealed: &[u8]) -> Result<Packed, db::Error> {
    let bytes = keys.open("mpi.comparison", &row.to_be_bytes(), sealed)?;
    Packed::parse(&bytes).map_err(|_| db::Error::Corrupt("comparison record"))
}

impl SqlStore {
    /// Keeps the index in this database, with the data keys that stand in it; a new one gets its first.
    pub async fn open(
        pools: Pools,
        wrapping: Arc<dyn KeyEncryption>,
        now_us: i64,
    ) -> Result<Self, db::Error> {
        let shelf = Shelf::new(pools.read.clone());
        let (keys, keys_read_us) = (KeyRing::new([]), AtomicI64::new(now_us));
        let store = Self { pools, shelf, keys, wrapping, keys_read_us };
        sqlx::query(RESTORED).execute(&store.pools.write).await?;
        store.learn_keys().await?;
        if store.keys.newest().is_none() {
            store.add_key(1, now_us).await?;
            store.learn_keys().await?;
        }
        Ok(store)
    }

    /// Reads the data keys.
    async fn learn_keys(&self) -> Result<(), db::Error> {
        let rows: Vec<(i64, Vec<u8>, String)> =
            sqlx::query_as("SELECT key_id, wrapped, wrapped_by FROM data_key ORDER BY key_id")
                .fetch_all(&self.pools.read)
                .await?;
        let mut keys = vec![];
        for (key_id, wrapped, wrapped_by) in rows {
            let key_id = u32::try_from(key_id).map_err(|_| db::Error::Corrupt("data key"))?;
            keys.push((key_id, self.wrapping.unwrap(&wrapped_by, &wrapped).await?));
        }
        self.keys.replace(keys);
        Ok(())
    }

    /// Reads the data keys now and then, so that no process seals under a key that was retired long ago.
    async fn refresh_keys(&self, now_us: i64) -> Result<(), db::Error> {
        let read_us = self.keys_read_us.load(Ordering::Relaxed);
        if now_us.saturating_sub(read_us) < KEYS_KNOWN_US {
            return Ok(());
        }
        self.learn_keys().await?;
        self.keys_read_us.store(now_us, Ordering::Relaxed);
        Ok(())
    }

    /// Adds a data key, unless another process was faster.
    async fn add_key(&self, key_id: u32, now_us: i64) -> Result<(), db::Error> {
        let wrapped = self.wrapping.wrap(&seal::random_key()).await?;
        sqlx::query(
            "INSERT INTO data_key (key_id, wrapped, wrapped_by, created_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (key_id) DO NOTHING",
        )
        .bind(i64::from(key_id))
        .bind(wrapped)
        .bind(self.wrapping.name())
        .bind(now_us)
        .execute(&self.pools.write)
        .await?;
        Ok(())
    }

    /// Wraps all data keys by the key-encryption key in force.
    async fn rewrap(&self) -> Result<u64, db::Error> {
        let rows: Vec<(i64, Vec<u8>, String)> =
            sqlx::query_as("SELECT key_id, wrapped, wrapped_by FROM data_key WHERE wrapped_by <> $1")
                .bind(self.wrapping.name())
                .fetch_all(&self.pools.read)
                .await?;
        let count = rows.len() as u64;
        for (key_id, wrapped, wrapped_by) in rows {
            let wrapped = self.wrapping.wrap(&self.wrapping.unwrap(&wrapped_by, &wrapped).await?).await?;
            sqlx::query("UPDATE data_key SET wrapped = $2, wrapped_by = $3 WHERE key_id = $1")
                .bind(key_id)
                .bind(wrapped)
                .bind(self.wrapping.name())
                .execute(&self.pools.write)
                .await?;
        }
        Ok(count)
    }

    /// Seals every row under the newest key; returns how many were not, and how many others write just now.
    ///
    /// It never waits for a row, so that it and those who write the rows in another order cannot wait for each other.
    async fn reseal(&self, of: &Resealing, progress: &Progress<'_>) -> Result<(u64, u64), db::Error> {
        let (mut after, mut resealed, mut missed, mut seen) = (i64::MIN, 0, 0, 0);
        loop {
            let rows: Vec<(i64, String, Vec<u8>)> = sqlx::query_as(of.select)
                .bind(after)
                .bind(RESEALED_AT_ONCE)
                .fetch_all(&self.pools.read)
                .await?;
            let Some((last, ..)) = rows.last() else { return Ok((resealed, missed)) };
            after = *last;
            seen += rows.len() as u64;
            let old = rows.into_iter().filter(|(.., sealed)| sealed_under(sealed) != self.keys.newest());
            let old: Vec<_> = old.collect();
            let mut tx = self.begin_in_time().await?;
            let numbers: Vec<i64> = old.iter().map(|(row, ..)| *row).collect();
            let held: Vec<(i64,)> =
                sqlx::query_as(of.hold).bind(key_list(&numbers)).fetch_all(&mut *tx).await?;
            let held: HashSet<i64> = held.into_iter().map(|(row,)| row).collect();
            for (row, id, before) in old {
                let mut done = 0;
                if held.contains(&row) {
                    let (kind, place) = of.what.place(row, id);
                    let clear = self.keys.open(kind, &place, &before)?;
                    let sealed = self.keys.seal(kind, &place, &clear);
                    let update = sqlx::query(of.update).bind(row).bind(before).bind(sealed);
                    done = update.execute(&mut *tx).await?.rows_affected();
                }
                // A row that was written meanwhile is sealed under a key that its writer knew; the next pass sees it.
                resealed += done;
                missed += 1 - done.min(1);
            }
            tx.commit().await?;
            progress(of.what, seen);
        }
    }

    /// Begins to write, however long another process holds the file for itself: nobody waits for this.
    async fn begin_in_time(&self) -> Result<sqlx::Transaction<'static, Db>, sqlx::Error> {
        loop {
            match self.pools.write.begin_with(BEGIN).await {
                Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(BUSY) => {}
                begun => return begun,
            }
        }
    }

    async fn known_data_keys(&self) -> Result<Vec<DataKey>, Error> {
        let rows: Vec<(i64, String, i64, Option<i64>)> =
            sqlx::query_as("SELECT key_id, wrapped_by, created_at, retired_at FROM data_key ORDER BY key_id")
                .fetch_all(&self.pools.read)
                .await?;
        let key = |(key_id, wrapped_by, created_us, retired_us): (i64, _, _, _)| {
            let key_id = u32::try_from(key_id).map_err(|_| db::Error::Corrupt("data key"))?;
            Ok(DataKey { key_id, wrapped_by, created_us, retired_us })
        };
        rows.into_iter().map(key).collect()
    }

    /// Makes a new data key and seals everything under it, while others read and write.
    async fn seal_anew(&self, now_us: i64, progress: &Progress<'_>) -> Result<Rotation, Error> {
        let rewrapped = self.rewrap().await?;
        self.learn_keys().await?;
        let unfinished: Option<(i64,)> = sqlx::query_as(
            "SELECT key_id FROM data_key WHERE retired_at IS NULL
             AND key_id < (SELECT MAX(key_id) FROM data_key)",
        )
        .fetch_optional(&self.pools.read)
        .await?;
        // What was killed half way goes on under the key that it had made.
        if unfinished.is_none() {
            self.add_key(self.keys.newest().unwrap_or_default() + 1, now_us).await?;
            self.learn_keys().await?;
        }
        let mut resealed = 0;
        for of in &RESEALED {
            // Until a pass finds nothing: writers may not know the new key before they meet it.
            loop {
                let (changed, missed) = self.reseal(of, progress).await?;
                resealed += changed;
                if changed + missed == 0 {
                    break;
                }
                if changed == 0 {
                    tokio::time::sleep(MISSED_WAIT).await;
                }
            }
        }
        let newest = self.keys.newest().unwrap_or_default();
        sqlx::query("UPDATE data_key SET retired_at = $2 WHERE key_id < $1 AND retired_at IS NULL")
            .bind(i64::from(newest))
            .bind(now_us)
            .execute(&self.pools.write)
            .await?;
        self.learn_keys().await?;
        Ok(Rotation { newest, rewrapped, resealed })
    }
}

/// How often something is tried that meets a data key which it does not know: rotations may follow one another.
const KEY_TRIES: usize = 5;

/// Does something again with the data keys as they are now, when it met one that it did not know.
macro_rules! with_new_keys {
    ($store:ident, $call:expr) => {{
        let mut tries = 1;
        loop {
            match $call.await {
                Err(Error::Database(db::Error::Sealing(seal::Error::UnknownKey(_)))) if tries < KEY_TRIES => {
                    tries += 1;
                    $store.learn_keys().await?;
                }
                done => break done,
            }
        }
    }};
}
