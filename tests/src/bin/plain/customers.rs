//! Customers: who made a booking, found by e-mail or telephone number.

use booking_service::domain::{Email, GivenPhone, Name};
use chrono::{DateTime, Utc};
use sqlx::{Postgres, Transaction};
use teppan_shared::{contract::booking::v1 as wire, sealing::AssociatedData};
use uuid::Uuid;

use crate::{Plain, error::CallError, schedule::invalid};

/// A contact in its normal form, with the hashes that find its customer.
pub struct Contact {
    pub name: String,
    pub email: String,
    pub phone: String,
    email_hash: Option<Vec<u8>>,
    phone_hash: Option<Vec<u8>>,
}

impl Plain {
    pub fn read_contact(&self, contact: &wire::Contact) -> Result<Contact, CallError> {
        let name = Name::parse(&contact.name).map_err(invalid("contact.name"))?;
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let email = given(&contact.email).map(|text| Email::parse(&text)).transpose();
        let email = email.map_err(|_| invalid("contact.email")("must be an e-mail address"))?;
        let phone = given(&contact.phone).map(|text| GivenPhone::parse(&text)).transpose();
        let phone = phone.map_err(|_| invalid("contact.phone")("must be a telephone number"))?;
        if email.is_none() && phone.is_none() {
            return Err(invalid("contact.email")("is required unless contact.phone is given"));
        }
        let email = email.as_ref().map(Email::as_str).unwrap_or_default().to_owned();
        let phone = phone.as_ref().map(GivenPhone::canonical).unwrap_or_default();
        let hash = |what: &str, text: &str| {
            given(text).map(|text| self.lookup.hash([what.as_bytes(), text.as_bytes()]).newest().to_vec())
        };
        let (email_hash, phone_hash) = (hash("e-mail", &email), hash("phone", &phone));
        Ok(Contact { name: name.as_str().to_owned(), email, phone, email_hash, phone_hash })
    }

    /// The customer of the contact.
    pub async fn find_or_make_customer(
        &self,
        contact: &Contact,
        transaction: &mut Transaction<'_, Postgres>,
        now: DateTime<Utc>,
    ) -> Result<Uuid, CallError> {
        let customer_id = Uuid::now_v7();
        let about = AssociatedData { table: "customers", column: "contact_sealed", row: customer_id.as_bytes() };
        let Contact { name, email, phone, .. } = contact;
        let plain = serde_json::json!({ "name": name, "email": email, "phone": phone }).to_string();
        let made: Option<Uuid> = sqlx::query_scalar(
            "INSERT INTO customers (customer_id, email_hash, phone_hash, contact_sealed, created_at)
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING RETURNING customer_id",
        )
        .bind(customer_id)
        .bind(&contact.email_hash)
        .bind(&contact.phone_hash)
        .bind(self.ring.seal(about, plain.as_bytes()))
        .bind(now)
        .fetch_optional(&mut **transaction)
        .await?;
        if let Some(customer_id) = made {
            return Ok(customer_id);
        }
        let known = sqlx::query_scalar(
            "SELECT customer_id FROM customers WHERE email_hash = $1 OR phone_hash = $2
             ORDER BY email_hash = $1 DESC NULLS LAST LIMIT 1",
        )
        .bind(&contact.email_hash)
        .bind(&contact.phone_hash)
        .fetch_one(&mut **transaction)
        .await?;
        Ok(known)
    }
}
