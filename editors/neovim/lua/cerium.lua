-- cerium in Neovim 0.7 and later: starts the language server, shows what it suggests behind the cursor, and edits by an
-- instruction. Neovim 0.12 knows inline completion by itself; there only `vim.lsp.config` is needed (docs/editors.md).
--
--   require('cerium').setup({ accept = '<C-l>' })
--   :Cerium add a timeout of 5 seconds        edits the selection, or the declaration around the cursor

local M = {}

local options = {
  cmd = { 'cerium', 'lsp' },
  -- Inserts the suggestion, in insert mode.
  accept = '<C-l>',
  -- How long after a key a suggestion is asked for, in milliseconds.
  delay = 50,
  -- Whether typing asks for suggestions.
  automatic = true,
}

local space = vim.api.nvim_create_namespace('cerium')
-- What is shown: buffer, row and column from 0, text.
local shown = nil
local client_id = nil
local timer = nil
-- Cancels the request that is on its way.
local cancel = nil

local function client()
  return client_id and vim.lsp.get_client_by_id(client_id)
end

local function place()
  local at = vim.api.nvim_win_get_cursor(0)
  return at[1] - 1, at[2]
end

function M.dismiss()
  if cancel then
    cancel()
    cancel = nil
  end
  if shown then
    pcall(vim.api.nvim_buf_clear_namespace, shown.buffer, space, 0, -1)
    shown = nil
  end
end

local function show(buffer, row, column, text)
  M.dismiss()
  local lines = vim.split(text, '\n', { plain = true })
  local below = {}
  for i = 2, #lines do
    below[#below + 1] = { { lines[i], 'Comment' } }
  end
  vim.api.nvim_buf_set_extmark(buffer, space, row, column, {
    virt_text = { { lines[1], 'Comment' } },
    virt_text_pos = 'overlay',
    virt_lines = #below > 0 and below or nil,
  })
  shown = { buffer = buffer, row = row, column = column, text = text }
end

-- Asks for what comes at the cursor, and shows it if the cursor and the text are still the same when it is there.
function M.suggest()
  local it = client()
  if not it then
    return
  end
  M.dismiss()
  local buffer = vim.api.nvim_get_current_buf()
  local row, column = place()
  local tick = vim.api.nvim_buf_get_changedtick(buffer)
  local params = vim.lsp.util.make_position_params(0, it.offset_encoding)
  params.context = { triggerKind = 2 }
  local sent, id = it.request('textDocument/inlineCompletion', params, function(_, result)
    local item = result and (result.items or result)[1]
    local row_now, column_now = place()
    local same = buffer == vim.api.nvim_get_current_buf() and row == row_now and column == column_now
    if item and same and tick == vim.api.nvim_buf_get_changedtick(buffer) then
      cancel = nil
      show(buffer, row, column, item.insertText)
    end
  end, buffer)
  cancel = sent and function()
    it.cancel_request(id)
  end
end

-- What is suggested now, if anything.
function M.suggestion()
  return shown and shown.text
end

-- Inserts what is suggested; false when nothing is.
function M.accept()
  local it = shown
  if not it then
    return false
  end
  M.dismiss()
  local lines = vim.split(it.text, '\n', { plain = true })
  vim.api.nvim_buf_set_text(it.buffer, it.row, it.column, it.row, it.column, lines)
  local column = #lines == 1 and it.column + #lines[1] or #lines[#lines]
  vim.api.nvim_win_set_cursor(0, { it.row + #lines, column })
  return true
end

-- Has lines (from 1, both included) of the current buffer edited; without them the declaration around the cursor.
function M.edit(instruction, first, last)
  local it = client()
  if not it then
    return
  end
  M.dismiss()
  local row, column = place()
  local range
  if first then
    range = { start = { line = first - 1, character = 0 }, ['end'] = { line = last, character = 0 } }
  else
    local at = vim.lsp.util.make_position_params(0, it.offset_encoding).position
    range = { start = at, ['end'] = at }
  end
  local argument = { uri = vim.uri_from_bufnr(0), range = range, instruction = instruction }
  local params = { command = 'cerium.edit', arguments = { argument } }
  it.request('workspace/executeCommand', params, function(error, result)
    if error then
      vim.notify('cerium: ' .. error.message, vim.log.levels.ERROR)
    elseif result and not result.applied then
      vim.notify('cerium: not applied: ' .. (result.reason or ''), vim.log.levels.WARN)
    end
  end, 0)
end

-- Attaches the server to a buffer, starting it if need be.
function M.attach(buffer)
  if vim.bo[buffer].buftype ~= '' or vim.api.nvim_buf_get_name(buffer) == '' then
    return
  end
  if not client() then
    local root = vim.loop.cwd()
    client_id = vim.lsp.start_client({
      name = 'cerium',
      cmd = options.cmd,
      root_dir = root,
      workspace_folders = { { name = root, uri = vim.uri_from_fname(root) } },
    })
  end
  if client_id then
    vim.lsp.buf_attach_client(buffer, client_id)
  end
end

function M.setup(given)
  options = vim.tbl_extend('force', options, given or {})
  local group = vim.api.nvim_create_augroup('cerium', {})
  local on = function(events, run)
    vim.api.nvim_create_autocmd(events, { group = group, callback = run })
  end
  on({ 'FileType' }, function(event)
    M.attach(event.buf)
  end)
  on({ 'InsertLeave', 'BufLeave', 'CursorMovedI' }, function()
    local row, column = place()
    if not shown or row ~= shown.row or column ~= shown.column then
      M.dismiss()
    end
  end)
  if options.automatic then
    timer = vim.loop.new_timer()
    on({ 'TextChangedI', 'InsertEnter' }, function()
      timer:start(options.delay, 0, vim.schedule_wrap(M.suggest))
    end)
  end
  vim.keymap.set('i', options.accept, M.accept, { desc = 'Insert what cerium suggests' })
  vim.api.nvim_create_user_command('Cerium', function(command)
    if command.range > 0 then
      M.edit(command.args, command.line1, command.line2)
    else
      M.edit(command.args)
    end
  end, { nargs = '+', range = true, desc = 'Edit by an instruction' })
end

return M
