// What becomes of pointers: taken down with what relates to them, and the log of it; included by `sqlite` and by `postgres`.

/// Most pointers whose facts are read at once.
const UNREAD_MAX: i64 = 1_000;

/// What a row of the log says of the pointer after the change; without a row, what every pointer is at first.
const STANDING: &str = "COALESCE(c.status, 1) AS then_status, COALESCE(c.liveness, 0) AS then_liveness,
    COALESCE(c.liveness_at, 0) AS then_liveness_at, COALESCE(c.liveness_reason, '') AS then_reason,
    c.replaced_by AS then_replaced_by";

#[derive(sqlx::FromRow)]
struct StandingRow {
    then_status: i64,
    then_liveness: i64,
    then_liveness_at: i64,
    then_reason: String,
    then_replaced_by: Option<String>,
}

/// A pointer with what the log says of it at some moment.
#[derive(sqlx::FromRow)]
struct ThenRow {
    #[sqlx(flatten)]
    document: Row,
    #[sqlx(flatten)]
    then: StandingRow,
}

#[derive(sqlx::FromRow)]
struct ChangeRow {
    transaction_id: i64,
    sequence: i64,
    document_id: String,
    custodian: String,
    kind: i64,
    changed_at: i64,
    #[sqlx(flatten)]
    then: StandingRow,
}

fn standing(row: StandingRow) -> Result<Standing, db::Error> {
    Ok(Standing {
        status: number(row.then_status, "document status")?,
        liveness: number(row.then_liveness, "liveness")?,
        liveness_us: row.then_liveness_at,
        liveness_reason: row.then_reason,
        replaced_by: row.then_replaced_by.as_deref().map(id).transpose()?,
    })
}

fn as_of(row: ThenRow, as_of_us: i64) -> Result<Document, db::Error> {
    Ok(document(row.document)?.as_of(standing(row.then)?, as_of_us))
}

/// Joins what the last change until a moment left of a pointer, if there was one since it was registered. The log of one pointer
/// is in the order of its changes, whatever the clocks of several processes say.
fn join_standing(sql: &mut QueryBuilder<Db>, as_of_us: i64) {
    // Written out, so that the database sees that its index of changes after the first will do.
    sql.push(
        " LEFT JOIN document_change c ON c.document_id = d.document_id AND c.kind <> 1 AND c.sequence =
          (SELECT MAX(x.sequence) FROM document_change x
           WHERE x.document_id = d.document_id AND x.kind <> 1 AND x.changed_at <= ",
    );
    sql.push_bind(as_of_us).push(")");
}

async fn find_as_of(c: &mut Connection, id: &DocumentId, as_of_us: i64) -> Result<Option<Document>, Error> {
    let mut sql = QueryBuilder::<Db>::new(format!("SELECT {COLUMNS}, {STANDING} FROM document d"));
    join_standing(&mut sql, as_of_us);
    sql.push(" WHERE d.document_id = ").push_bind(id.to_string());
    sql.push(" AND d.registered_at <= ").push_bind(as_of_us);
    let row: Option<ThenRow> = sql.build_query_as().fetch_optional(c).await?;
    Ok(row.map(|row| as_of(row, as_of_us)).transpose()?)
}

/// Ends a list of ids that was opened.
fn list<'a>(sql: &mut QueryBuilder<Db>, ids: impl IntoIterator<Item = &'a DocumentId>) {
    let mut list = sql.separated(", ");
    for id in ids {
        list.push_bind(id.to_string());
    }
    sql.push(")");
}

/// Writes into the log that pointers were registered.
async fn log_registered(c: &mut Connection, new: &[Newcomer<'_>], now_us: i64) -> Result<(), Error> {
    if new.is_empty() {
        return Ok(());
    }
    let mut sql = QueryBuilder::<Db>::new(
        "INSERT INTO document_change (document_id, custodian, changed_at, kind, status, liveness, liveness_at,
         liveness_reason) ",
    );
    sql.push_values(new, |mut row, Newcomer { id, registration, replaced: _ }| {
        let custodian = registration.pointer.patient.member_id.as_str();
        row.push_bind(id.to_string()).push_bind(custodian).push_bind(now_us);
        // Registered, current, never retrieved.
        row.push("1, 1, 0, 0, ''");
    });
    sql.build().execute(c).await?;
    Ok(())
}

/// Writes into the log what was changed of pointers, as they are left.
async fn log(c: &mut Connection, kind: ChangeKind, ids: &[DocumentId], now_us: i64) -> Result<(), Error> {
    for ids in ids.chunks(LIST_MAX) {
        let mut sql = QueryBuilder::<Db>::new(
            "INSERT INTO document_change (document_id, custodian, status, liveness, liveness_at, liveness_reason,
             replaced_by, kind, changed_at)
             SELECT d.document_id, d.custodian, d.status, d.liveness, d.liveness_at, d.liveness_reason,
             d.replaced_by, ",
        );
        sql.push_bind(i64::from(kind as i32)).push(", ").push_bind(now_us);
        sql.push(" FROM document d WHERE d.document_id IN (");
        list(&mut sql, ids);
        sql.push(" ORDER BY d.document_id").build().execute(&mut *c).await?;
    }
    Ok(())
}

fn targets_query<'a>(begin: &str, ids: impl IntoIterator<Item = &'a DocumentId>) -> QueryBuilder<Db> {
    let mut sql = QueryBuilder::new(format!(
        "{begin}SELECT d.document_id, d.custodian, d.local_id, d.status,
         (SELECT COUNT(*) FROM relation r WHERE r.target = d.document_id)
         FROM document d WHERE d.document_id IN ("
    ));
    list(&mut sql, ids);
    sql.push(" ORDER BY d.document_id");
    sql
}

fn changes_query(begin: &str, position: watch::Position, limit: i64) -> QueryBuilder<Db> {
    let mut sql = QueryBuilder::new(format!(
        "{begin}SELECT {TRANSACTION}, c.sequence, c.document_id, c.custodian, c.kind, c.changed_at, {STANDING}
         FROM document_change c WHERE "
    ));
    after(&mut sql, position);
    sql.push(" LIMIT ").push(limit);
    sql
}

/// Returns which registrations relate to what they must not, by their place. What is there already was judged when it came, and
/// what is related to stays as it is until the transaction ends.
async fn unrelated(
    c: &mut Connection,
    registrations: &[Registration],
) -> Result<HashMap<usize, Error>, Error> {
    let mut new: Vec<(usize, &Registration)> =
        registrations.iter().enumerate().filter(|(_, one)| !one.relations.is_empty()).collect();
    if new.is_empty() {
        return Ok(HashMap::new());
    }
    let pointers: Vec<_> = new.iter().map(|(_, one)| &one.pointer).collect();
    let there = stored(c, &pointers).await?;
    new.retain(|(_, one)| {
        let Pointer { patient, unique_id, .. } = &one.pointer;
        !there.contains_key(&(patient.member_id.clone(), unique_id.clone()))
    });
    let relations = new.iter().flat_map(|(_, one)| &one.relations);
    let ids: HashSet<DocumentId> = relations.map(|relation| relation.target).collect();
    let ids: Vec<_> = ids.into_iter().collect();
    let mut targets = HashMap::with_capacity(ids.len());
    for ids in ids.chunks(LIST_MAX) {
        let mut sql = targets_query("", ids);
        let rows: Vec<(String, String, String, i64, i64)> =
            sql.push(LOCK_SHARED).build_query_as().fetch_all(&mut *c).await?;
        for (target, custodian, local_id, status, related) in rows {
            let patient = record(&custodian, &local_id)?;
            let target_of = Target { patient, status: number(status, "document status")?, related };
            targets.insert(id(&target)?, target_of);
        }
    }
    let judged = new.into_iter().filter_map(|(at, one)| {
        let judged = relation::related(&one.pointer.patient, &one.relations, |id| targets.get(id));
        judged.err().map(|fault| (at, fault))
    });
    Ok(judged.collect())
}

/// Keeps what new pointers are to others.
async fn relate(c: &mut Connection, new: &[Newcomer<'_>]) -> Result<(), Error> {
    let mut pairs = vec![];
    for one in new {
        pairs.extend(one.registration.relations.iter().map(|relation| (one.id, *relation)));
    }
    for pairs in pairs.chunks(LIST_MAX / 3) {
        let mut sql = QueryBuilder::<Db>::new("INSERT INTO relation (target, document_id, kind) ");
        sql.push_values(pairs, |mut row, (id, relation)| {
            row.push_bind(relation.target.to_string())
                .push_bind(id.to_string())
                .push_bind(i64::from(relation.kind as i32));
        });
        sql.build().execute(&mut *c).await?;
    }
    Ok(())
}

fn dependents_query(begin: &str, targets: &[DocumentId]) -> QueryBuilder<Db> {
    let mut sql = QueryBuilder::new(format!("{begin}SELECT r.document_id FROM relation r WHERE r.target IN ("));
    list(&mut sql, targets);
    sql
}

/// Takes a pointer down, that is locked, and with it what appends or transforms it (IHE ITI TF-2, 3.42.4.1.3.5), and what
/// appends or transforms that.
async fn take_down(
    c: &mut Connection,
    root: &DocumentId,
    status: DocumentStatus,
    now_us: i64,
) -> Result<(), Error> {
    let (mut all, mut level) = (HashSet::from([*root]), vec![*root]);
    while !level.is_empty() {
        let mut next = vec![];
        for targets in level.chunks(LIST_MAX) {
            let rows: Vec<(String,)> =
                dependents_query("", targets).build_query_as().fetch_all(&mut *c).await?;
            for (dependent,) in rows {
                let dependent = id(&dependent)?;
                if all.insert(dependent) {
                    next.push(dependent);
                }
            }
        }
        // Locked before what relates to them is looked for: whoever registers it holds them until it is there.
        for ids in next.chunks(LIST_MAX) {
            let mut sql =
                QueryBuilder::<Db>::new("SELECT d.document_id FROM document d WHERE d.document_id IN (");
            list(&mut sql, ids);
            sql.push(" ORDER BY d.document_id").push(LOCK).build().fetch_all(&mut *c).await?;
        }
        level = next;
    }
    let all: Vec<_> = all.into_iter().collect();
    let mut changed = vec![];
    for ids in all.chunks(LIST_MAX) {
        let mut sql = QueryBuilder::<Db>::new("UPDATE document SET status = ");
        let status = i64::from(status as i32);
        sql.push_bind(status).push(" WHERE document_id IN (");
        list(&mut sql, ids);
        // Current ones are superseded; both current and superseded ones are withdrawn.
        sql.push(" AND status < ").push_bind(status).push(" RETURNING document_id");
        let rows: Vec<(String,)> = sql.build_query_as().fetch_all(&mut *c).await?;
        for (one,) in rows {
            changed.push(id(&one)?);
        }
    }
    let kind = match status {
        DocumentStatus::Deprecated => ChangeKind::Deprecated,
        _ => ChangeKind::Superseded,
    };
    log(c, kind, &changed, now_us).await
}

impl SqlStore {
    /// Keeps pointers in this database.
    pub async fn open(pools: Pools) -> Result<Self, db::Error> {
        let store = Self { shelf: Shelf::new(pools.read.clone()), pools };
        if let Some(restored) = RESTORED {
            sqlx::query(restored).execute(&store.pools.write).await?;
        }
        while store.read_facts().await? > 0 {}
        Ok(store)
    }

    /// Reads what documents are found by from the facts of some that an earlier release registered.
    async fn read_facts(&self) -> Result<usize, db::Error> {
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        // In one order, so that two processes that start at once do not wait for each other.
        let rows: Vec<(String, Vec<u8>)> = sqlx::query_as(
            "SELECT document_id, facts FROM document WHERE labels IS NULL ORDER BY document_id LIMIT $1",
        )
        .bind(UNREAD_MAX)
        .fetch_all(&mut *tx)
        .await?;
        for (document_id, facts) in &rows {
            let found_by = convert::found_by_facts(facts)?;
            sqlx::query(
                "UPDATE document SET labels = $2, service_from = $3, service_to = $4 WHERE document_id = $1",
            )
            .bind(document_id)
            .bind(labels(&found_by.labels))
            .bind(found_by.service_us.map(|(from_us, _)| from_us))
            .bind(found_by.service_us.map(|(_, to_us)| to_us))
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(rows.len())
    }
}

#[async_trait]
impl Changes for SqlStore {
    async fn changes(
        &self,
        after: watch::Position,
        custodian: Option<&MemberId>,
        limit: i64,
    ) -> Result<Vec<(watch::Position, Option<Change>)>, Error> {
        let mut sql = changes_query("", after, limit);
        let rows: Vec<ChangeRow> = sql.build_query_as().fetch_all(&self.pools.read).await?;
        let seen = |row: &ChangeRow| custodian.is_none_or(|own| own.as_str() == row.custodian);
        let ids = rows.iter().filter(|row| seen(row)).map(|row| id(&row.document_id));
        let ids = ids.collect::<Result<HashSet<_>, _>>()?;
        let mut documents = HashMap::with_capacity(ids.len());
        if !ids.is_empty() {
            let mut sql = QueryBuilder::<Db>::new(format!(
                "SELECT {COLUMNS} FROM document d WHERE d.document_id IN ("
            ));
            list(&mut sql, &ids);
            let rows: Vec<Row> = sql.build_query_as().fetch_all(&self.pools.read).await?;
            for row in rows {
                documents.insert(row.document_id.clone(), document(row)?);
            }
        }
        let mut changes = Vec::with_capacity(rows.len());
        for row in rows {
            let position = watch::Position { transaction: row.transaction_id, sequence: row.sequence };
            let change = match documents.get(&row.document_id) {
                Some(document) => Some(Change {
                    document: document.clone().left_as(standing(row.then)?),
                    kind: number(row.kind, "change")?,
                    changed_us: row.changed_at,
                }),
                None => None,
            };
            changes.push((position, change));
        }
        Ok(changes)
    }

    async fn log_id(&self) -> Result<String, Error> {
        let (id,): (String,) = sqlx::query_as(LOG_ID).fetch_one(&self.pools.read).await?;
        Ok(id)
    }

    async fn last_change(&self) -> Result<i64, Error> {
        let (last,): (i64,) = sqlx::query_as(LAST_CHANGE).fetch_one(&self.pools.read).await?;
        Ok(last)
    }
}
