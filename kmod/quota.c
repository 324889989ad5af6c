// SPDX-License-Identifier: GPL-2.0-only
/*
 * Quotas: how many hpages a client, and a user, may have charged to it.
 *
 * A client pays for what it has from the moment it is promised until it is free
 * again, pinned hpages included, and so does each of its accounts: that of the
 * uid that opened it and those of the owners of the user namespaces around that
 * uid.  So a user with sub-uids is still one user.  The accounts are looked up at
 * open and kept: what is charged is uncharged to the same, whoever does it.
 */
#include <linux/cred.h>
#include <linux/slab.h>
#include <linux/uidgid.h>
#include <linux/user_namespace.h>

#include "internal.h"

/**
 * struct account - what one uid has
 * @uid: whose; set once
 * @clients: clients that pay into it; guarded by accounts_lock
 * @charged: hpages of all of them; guarded by charge_lock
 */
struct account {
	kuid_t uid;
	unsigned int clients;
	unsigned long charged;
};

/**
 * struct sp_quota - what one client has, and who else pays for it
 * @charged: hpages; guarded by charge_lock
 * @nr: accounts; set once
 * @account: each once; set once
 */
struct sp_quota {
	unsigned long charged;
	unsigned int nr;
	struct account *account[];
};

/* By uid.  Read and written under the lock. */
static DEFINE_XARRAY(accounts);
static DEFINE_MUTEX(accounts_lock);

/* Guards every charge and limit: a charge is to all who pay, or to nobody. */
static DEFINE_SPINLOCK(charge_lock);
static unsigned long limits[SP_NR_LIMITS];

static struct account *account_get(kuid_t uid)
{
	struct account *account;
	int ret;

	lockdep_assert_held(&accounts_lock);

	account = xa_load(&accounts, __kuid_val(uid));
	if (account) {
		account->clients++;
		return account;
	}

	account = kzalloc(sizeof(*account), GFP_KERNEL_ACCOUNT);
	if (!account)
		return NULL;
	account->uid = uid;
	account->clients = 1;
	ret = xa_err(xa_store(&accounts, __kuid_val(uid), account,
			      GFP_KERNEL_ACCOUNT));
	if (ret) {
		kfree(account);
		return NULL;
	}
	return account;
}

static void account_put(struct account *account)
{
	lockdep_assert_held(&accounts_lock);

	if (--account->clients)
		return;
	WARN_ON_ONCE(account->charged);
	xa_erase(&accounts, __kuid_val(account->uid));
	kfree(account);
}

static bool pays(const struct sp_quota *quota, kuid_t uid)
{
	unsigned int i;

	for (i = 0; i < quota->nr; i++)
		if (uid_eq(quota->account[i]->uid, uid))
			return true;
	return false;
}

static int add_payer(struct sp_quota *quota, kuid_t uid)
{
	struct account *account;

	if (pays(quota, uid))
		return 0;
	account = account_get(uid);
	if (!account)
		return -ENOMEM;
	quota->account[quota->nr++] = account;
	return 0;
}

/**
 * sp_quota_free - end a client's quota
 * @quota: with nothing charged to it
 */
void sp_quota_free(struct sp_quota *quota)
{
	WARN_ON_ONCE(quota->charged);

	mutex_lock(&accounts_lock);
	while (quota->nr)
		account_put(quota->account[--quota->nr]);
	mutex_unlock(&accounts_lock);
	kfree(quota);
}

/**
 * sp_quota_create - find out who pays for a client
 * @cred: of whoever opens it
 *
 * Return: the quota, to be ended by sp_quota_free(), or NULL.
 */
struct sp_quota *sp_quota_create(const struct cred *cred)
{
	struct user_namespace *ns;
	struct sp_quota *quota;
	unsigned int depth = 0;
	int ret;

	/* The kernel nests them some thirty deep at most. */
	for (ns = cred->user_ns; ns != &init_user_ns; ns = ns->parent)
		depth++;
	quota = kzalloc(struct_size(quota, account, depth + 1),
			GFP_KERNEL_ACCOUNT);
	if (!quota)
		return NULL;

	mutex_lock(&accounts_lock);
	ret = add_payer(quota, cred->fsuid);
	for (ns = cred->user_ns; !ret && ns != &init_user_ns; ns = ns->parent)
		ret = add_payer(quota, ns->owner);
	mutex_unlock(&accounts_lock);
	if (ret) {
		sp_quota_free(quota);
		return NULL;
	}
	return quota;
}

/* What a limit leaves; 0 is none. */
static unsigned long room(unsigned long limit, unsigned long charged)
{
	if (!limit)
		return ULONG_MAX;
	return limit > charged ? limit - charged : 0;
}

static unsigned long room_for(const struct sp_quota *quota)
{
	unsigned long left = room(limits[SP_LIMIT_CLIENT], quota->charged);
	unsigned int i;

	lockdep_assert_held(&charge_lock);

	for (i = 0; i < quota->nr; i++)
		left = min(left, room(limits[SP_LIMIT_USER],
				      quota->account[i]->charged));
	return left;
}

/**
 * sp_quota_room - how much more may be charged
 * @quota: whose
 *
 * Return: hpages, ULONG_MAX when nothing limits them.
 */
unsigned long sp_quota_room(const struct sp_quota *quota)
{
	unsigned long left;

	spin_lock(&charge_lock);
	left = room_for(quota);
	spin_unlock(&charge_lock);
	return left;
}

/**
 * sp_quota_charged - what is charged to a client
 * @quota: the client's
 *
 * Return: hpages.
 */
unsigned long sp_quota_charged(const struct sp_quota *quota)
{
	unsigned long charged;

	spin_lock(&charge_lock);
	charged = quota->charged;
	spin_unlock(&charge_lock);
	return charged;
}

static void add(struct sp_quota *quota, long count)
{
	unsigned int i;

	lockdep_assert_held(&charge_lock);

	quota->charged += count;
	for (i = 0; i < quota->nr; i++)
		quota->account[i]->charged += count;
}

/**
 * sp_quota_charge - charge all who pay, or nobody
 * @quota: whose
 * @count: hpages
 *
 * Return: 0, or -EDQUOT when a limit does not allow it.
 */
int sp_quota_charge(struct sp_quota *quota, unsigned long count)
{
	int ret = 0;

	spin_lock(&charge_lock);
	if (count <= room_for(quota))
		add(quota, count);
	else
		ret = -EDQUOT;
	spin_unlock(&charge_lock);
	return ret;
}

/**
 * sp_quota_uncharge - take back a charge, or a part of it
 * @quota: whose
 * @count: hpages
 */
void sp_quota_uncharge(struct sp_quota *quota, unsigned long count)
{
	spin_lock(&charge_lock);
	add(quota, -(long)count);
	spin_unlock(&charge_lock);
}

/**
 * sp_quota_limit - a limit in force
 * @which: that of a client or of a user
 *
 * Return: hpages, 0 for none.
 */
unsigned long sp_quota_limit(enum sp_limit which)
{
	return READ_ONCE(limits[which]);
}

/**
 * sp_quota_set_limit - set a limit for all
 * @which: that of a client or of a user
 * @limit: hpages, 0 for none
 *
 * Takes nothing from those who have more: it refuses them more.
 */
void sp_quota_set_limit(enum sp_limit which, unsigned long limit)
{
	spin_lock(&charge_lock);
	WRITE_ONCE(limits[which], limit);
	spin_unlock(&charge_lock);
}
